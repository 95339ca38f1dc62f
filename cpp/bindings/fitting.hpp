// What train and minimize share at the border: the check that there is something to fit, and how
// Python's signals and callbacks end a native loop.
#pragma once

#include <cmath>

#include "arrays.hpp"
#include "optim/session.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

// There must be something to fit, and weights that can be divided by.
template <class T>
void check_not_empty(const SampleNames& names, const Weights<T>& w, const Samples<T>& samples) {
    if (samples.batch.n == 0) {
        throw py::value_error(std::string(names.x) + " has no rows, expected at least one");
    }
    const Ensemble<T> all{.net = {},
                          .size = samples.steps.sample_weight == 0 ? 1 : w.networks,
                          .w = nullptr,
                          .samples = samples.batch,
                          .steps = samples.steps};
    for (index s = 0; s < all.size; ++s) {
        const double total = total_weight(all.samples_of(s));
        if (!std::isfinite(total) || !std::isfinite(1 / total)) {
            throw py::value_error(std::string(names.sample_weight) + " sums to " +
                                  std::string(py::str(py::float_(total))) +
                                  ", expected a finite sum above 0");
        }
    }
}

// Ctrl-C ends a fit with a result instead of an exception; anything else that a signal
// handler or a callback raises is kept, to be raised when the loop has ended.
class FitInterrupt : public Interrupt {
  public:
    // With the GIL, an exception pending: true if the fit should end.
    bool catch_pending() {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
            PyErr_Clear();
            interrupted = true;
        } else {
            failure = std::make_exception_ptr(py::error_already_set());
        }
        return true;
    }

    // f() with the GIL; what it raises is kept, and ends the fit.
    template <class F> void call(const F& f) {
        const py::gil_scoped_acquire gil;
        try {
            f();
        } catch (py::error_already_set& e) {
            e.restore();
            catch_pending();
            throw Interrupted();
        } catch (const std::exception&) {
            failure = std::current_exception();
            throw Interrupted();
        }
    }

    bool interrupted = false;
    std::exception_ptr failure;

  protected:
    bool ask() override {
        if (left_behind()) {
            return true;
        }
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0 && catch_pending();
    }
};

} // namespace mlpcore::bindings
