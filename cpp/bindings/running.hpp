// Running the core without the GIL, and listening for Ctrl-C meanwhile.
#pragma once

#include <pybind11/pybind11.h>

#include "mlpcore/interrupt.hpp"

namespace mlpcore::bindings {

namespace py = pybind11;

// Runs the handlers of signals that have come in. If one raises, its exception is left pending.
class PythonInterrupt : public Interrupt {
  protected:
    bool ask() override {
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    }
};

// f(interrupt) without the GIL; what a signal handler raised (KeyboardInterrupt) is thrown on.
template <class F> auto without_gil(const F& f) {
    PythonInterrupt interrupt;
    try {
        const py::gil_scoped_release release;
        return f(&interrupt);
    } catch (const Interrupted&) {
        throw py::error_already_set();
    }
}

} // namespace mlpcore::bindings
