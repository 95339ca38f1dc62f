#include "bindings.hpp"
#include "mlpcore/kernels.hpp"
#include "running.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled core of mlpcore.";
    // A name in MLPCORE_ISA that can't be had is an error of the import, not of the first call.
    mlpcore::instruction_set();
    pybind11::module_::import("atexit").attr("register")(
        pybind11::cpp_function(&mlpcore::bindings::prepare_exit));
    mlpcore::bindings::bind_config(m);
    mlpcore::bindings::bind_network(m);
    mlpcore::bindings::bind_derivatives(m);
    mlpcore::bindings::bind_hessian(m);
    mlpcore::bindings::bind_products(m);
    mlpcore::bindings::bind_training(m);
    mlpcore::bindings::bind_minimize(m);
}
