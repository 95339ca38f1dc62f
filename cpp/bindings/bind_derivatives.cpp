// The quantities of a network: check, borrow, let go of the GIL, compute.
#include "arrays.hpp"
#include "bindings.hpp"
#include "mlpcore/derivatives.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_forward(const Network& net, py::handle w, py::handle x, bool logits) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, x);
        const NetworkView view = net.architecture.view();
        auto y = new_array<T>("forward", {samples.batch.n, view.n_outputs});
        T* const to = y.mutable_data();
        without_gil([&](Interrupt* interrupt) {
            forward(view, weights.data(), samples.batch, logits, to, interrupt);
        });
        return y;
    });
}

double py_error(const Network& net, py::handle w, py::handle x, py::handle t,
                py::handle sample_weight) {
    return with_type(net, [&]<class T>(T) {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, x, t, sample_weight);
        return without_gil([&](Interrupt* interrupt) {
            return error(net.architecture.view(), weights.data(), samples.batch, interrupt);
        });
    });
}

py::tuple py_error_and_gradient(const Network& net, py::handle w, py::handle x, py::handle t,
                                py::handle sample_weight) {
    return with_type(net, [&]<class T>(T) -> py::tuple {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, x, t, sample_weight);
        const NetworkView view = net.architecture.view();
        auto g = new_array<T>("gradient", {view.n_weights});
        T* const to = g.mutable_data();
        const double e = without_gil([&](Interrupt* interrupt) {
            return gradient(view, weights.data(), samples.batch, to, interrupt);
        });
        return py::make_tuple(e, g);
    });
}

py::array py_gradient(const Network& net, py::handle w, py::handle x, py::handle t,
                      py::handle sample_weight) {
    return py_error_and_gradient(net, w, x, t, sample_weight)[1];
}

py::array py_jacobian(const Network& net, py::handle w, py::handle x) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, x);
        const NetworkView view = net.architecture.view();
        auto j = new_array<T>("jacobian", {samples.batch.n, view.n_outputs, view.n_inputs});
        T* const to = j.mutable_data();
        without_gil([&](Interrupt* interrupt) {
            jacobian(view, weights.data(), samples.batch, to, interrupt);
        });
        return j;
    });
}

py::array py_weight_jacobian(const Network& net, py::handle w, py::handle x) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, x);
        const NetworkView view = net.architecture.view();
        auto j = new_array<T>("weight_jacobian", {samples.batch.n, view.n_outputs, view.n_weights});
        T* const to = j.mutable_data();
        without_gil([&](Interrupt* interrupt) {
            weight_jacobian(view, weights.data(), samples.batch, to, interrupt);
        });
        return j;
    });
}

py::array py_per_sample_gradient(const Network& net, py::handle w, py::handle x, py::handle t) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, x, t, py::none());
        const NetworkView view = net.architecture.view();
        auto g = new_array<T>("per_sample_gradient", {samples.batch.n, view.n_weights});
        T* const to = g.mutable_data();
        without_gil([&](Interrupt* interrupt) {
            per_sample_gradient(view, weights.data(), samples.batch, to, interrupt);
        });
        return g;
    });
}

py::array py_hessian_diagonal(const Network& net, py::handle w, py::handle x, py::handle t,
                              py::handle sample_weight, const std::string& kind) {
    const auto curvature = static_cast<Curvature>(as_choice("kind", curvature_names, kind));
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, x, t, sample_weight);
        const NetworkView view = net.architecture.view();
        check_memory("the working memory of hessian_diagonal",
                     scratch_bytes<T>(view, Quantity::hessian_diagonal, samples.batch.n));
        auto d = new_array<T>("hessian_diagonal", {view.n_weights});
        T* const to = d.mutable_data();
        without_gil([&](Interrupt* interrupt) {
            hessian_diagonal(view, weights.data(), samples.batch, curvature, to, interrupt);
        });
        return d;
    });
}

} // namespace

void bind_derivatives(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight");
    m.def("forward", &py_forward, net, w, x, py::arg("logits"));
    m.def("error", &py_error, net, w, x, t, weight);
    m.def("gradient", &py_gradient, net, w, x, t, weight);
    m.def("error_and_gradient", &py_error_and_gradient, net, w, x, t, weight);
    m.def("jacobian", &py_jacobian, net, w, x);
    m.def("weight_jacobian", &py_weight_jacobian, net, w, x);
    m.def("per_sample_gradient", &py_per_sample_gradient, net, w, x, t);
    m.def("hessian_diagonal", &py_hessian_diagonal, net, w, x, t, weight, py::arg("kind"));
}

} // namespace mlpcore::bindings
