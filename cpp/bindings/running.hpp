// Running the core without the GIL: listening for Ctrl-C meanwhile, and letting the interpreter
// exit while a daemon thread is in here.
#pragma once

#include <pybind11/pybind11.h>

#include "mlpcore/interrupt.hpp"

namespace mlpcore::bindings {

namespace py = pybind11;

// Before the interpreter finalizes: asks computations on other threads to stop and waits until
// none of them will want the GIL again. To be registered with atexit.
void prepare_exit();

// True on a thread that the interpreter is about to leave behind.
bool left_behind();

// Without the GIL for a scope. A thread that is left behind never returns from it: to ask for
// the GIL then would end the process (before Python 3.14).
class WithoutGil {
  public:
    WithoutGil();
    ~WithoutGil();
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    PyThreadState* state_;
};

// Runs the handlers of signals that have come in. If one raises, its exception is left pending.
class PythonInterrupt : public Interrupt {
  protected:
    bool ask() override {
        if (left_behind()) {
            return true;
        }
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    }
};

// f(interrupt) without the GIL; what a signal handler raised (KeyboardInterrupt) is thrown on.
template <class F> auto without_gil(const F& f) {
    PythonInterrupt interrupt;
    try {
        const WithoutGil released;
        return f(&interrupt);
    } catch (const Interrupted&) {
        throw py::error_already_set();
    }
}

} // namespace mlpcore::bindings
