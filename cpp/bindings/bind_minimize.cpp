// minimize: the native methods, and what of Python they may call.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "fitting.hpp"
#include "optim/minimize.hpp"
#include "penalties.hpp"

namespace mlpcore::bindings {

namespace {

template <class T> class CallbackObserver : public IterationObserver {
  public:
    CallbackObserver(py::object callback, index n_weights)
        : callback_(std::move(callback)), n_weights_(n_weights), calls_back_(!callback_.is_none()) {
    }

    FitInterrupt& interrupt() override { return interrupt_; }

    bool iteration_ended(const Minimization& course, const void* w) override {
        if (!calls_back_) {
            return false;
        }
        const py::gil_scoped_acquire gil;
        try {
            const py::array_t<T> weights(n_weights_, static_cast<const T*>(w));
            return py::bool_(callback_(course.iterations(), course.objective.back(), weights));
        } catch (py::error_already_set& e) {
            e.restore();
            return interrupt_.catch_pending();
        }
    }

  private:
    py::object callback_;
    index n_weights_;
    bool calls_back_;
    FitInterrupt interrupt_;
};

// The memory of L-BFGS from `state`, None or (s, y) of shape (m, W) each, oldest pair first.
template <class T>
LbfgsMemory<T> as_memory(const Network& net, index capacity, py::handle state) {
    const index n = net.architecture.view().n_weights;
    LbfgsMemory<T> memory(n, capacity);
    if (state.is_none()) {
        return memory;
    }
    const auto s = as_array<T>("state.s", state.attr("s"));
    const auto y = as_array<T>("state.y", state.attr("y"));
    for (const auto& [name, array] : {std::pair("state.s", &s), std::pair("state.y", &y)}) {
        if (array->ndim() != 2 || array->shape(1) != n || array->shape(0) != s.shape(0)) {
            throw py::value_error(
                std::string(name) + " has shape " + shape_of(*array) + ", expected (" +
                (array == &s ? "m" : std::to_string(s.shape(0))) + ", " + std::to_string(n) + ")");
        }
        if (kernels<T>().first_nonfinite(array->size(), array->data()) < array->size()) {
            throw py::value_error(std::string(name) + " is not finite");
        }
    }
    for (index i = 0; i < s.shape(0); ++i) {
        memory.remember(s.data() + i * n, y.data() + i * n);
    }
    return memory;
}

template <class T> py::tuple as_state(const LbfgsMemory<T>& memory, index n) {
    py::array_t<T> s({memory.pairs(), n}), y({memory.pairs(), n});
    for (index i = 0; i < memory.pairs(); ++i) {
        std::copy_n(memory.s(i), n, s.mutable_data(i));
        std::copy_n(memory.y(i), n, y.mutable_data(i));
    }
    return py::make_tuple(s, y);
}

py::dict as_dict(const Minimization& report) {
    py::dict history, counts, all;
    history["objective"] = to_array(report.objective);
    history["error"] = to_array(report.error);
    history["gradient_norm"] = to_array(report.gradient_norm);
    history["seconds"] = to_array(report.seconds);
    counts["forward"] = report.counts.forwards;
    counts["gradient"] = report.counts.gradients;
    counts["product"] = report.counts.products;
    counts["hessian"] = report.counts.hessians;
    counts["factorization"] = report.counts.factorizations;
    all["history"] = history;
    all["counts"] = counts;
    all["stopped"] = std::string(ending_names[static_cast<std::size_t>(report.ending)]);
    return all;
}

// The fitted weights, the reports and the states of L-BFGS, one a network.
py::tuple py_minimize(const Network& net, py::handle w, py::handle x, py::handle t,
                      py::handle sample_weight, const std::string& method, py::handle weight_decay,
                      py::handle penalty, index iterations, double gradient_tolerance,
                      double step_tolerance, double error_tolerance, double seconds,
                      const std::string& curvature, const std::string& conjugacy, bool acceleration,
                      index memory, const py::list& states, const py::object& callback) {
    const StoppingRules rules{.iterations = iterations,
                              .gradient = gradient_tolerance,
                              .step = step_tolerance,
                              .error = error_tolerance,
                              .seconds = seconds};
    const MethodOptions options{
        .conjugacy = static_cast<Conjugacy>(as_choice("conjugacy", conjugacy_names, conjugacy)),
        .curvature = curvature == "gauss_newton" ? ProductKind::gauss_newton : ProductKind::exact,
        .acceleration = acceleration};
    const auto chosen = static_cast<Method>(as_choice("method", method_names, method));
    return with_type(net, [&]<class T>(T) -> py::tuple {
        const auto start = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, start, x, t, sample_weight);
        check_not_empty({}, start, samples);
        const index n = net.architecture.view().n_weights;
        const bool resumable = chosen == Method::lbfgs;
        // What is remembered of each network, or what is at work at once.
        const index at_once =
            resumable ? start.networks : std::min<index>(start.networks, max_threads());
        // lm with acceleration keeps four numbers for each output.
        const double outputs = static_cast<double>(samples.batch.n) *
                               static_cast<double>(net.architecture.view().n_outputs);
        const double kept = working_memory(n, chosen, memory) + (acceleration ? 4 * outputs : 0);
        check_working_memory(method.c_str(),
                             kept * static_cast<double>(sizeof(T)) * static_cast<double>(at_once));
        std::vector<LbfgsMemory<T>> memories;
        memories.reserve(static_cast<std::size_t>(start.networks));
        for (index s = 0; s < start.networks; ++s) {
            memories.push_back(as_memory<T>(net, resumable ? memory : 1,
                                            states.empty() ? py::handle(py::none())
                                                           : states[static_cast<std::size_t>(s)]));
        }
        auto fitted = new_array<T>("w", start, {n});
        T* const weights = fitted.mutable_data();
        std::copy_n(start.array.data(), start.array.size(), weights);
        std::vector<Minimization> found;
        CallbackObserver<T> observer(callback, start.array.size());
        const auto added = as_penalty<T>(net, weight_decay, penalty, observer.interrupt());
        {
            const WithoutGil released;
            if (start.is_ensemble) {
                found = minimize(as_ensemble(net, start, samples), added.get(), chosen, options,
                                 rules, memories, weights, observer.interrupt());
            } else {
                found.push_back(minimize(net.architecture.view(), samples.batch, added.get(),
                                         chosen, options, rules, memories.front(), weights,
                                         observer));
            }
        }
        if (observer.interrupt().failure) {
            std::rethrow_exception(observer.interrupt().failure);
        }
        if (observer.interrupt().interrupted && !start.is_ensemble) {
            found.front().ending = Ending::interrupted; // and not by what the callback answered
        }
        py::list reports, after;
        for (const Minimization& report : found) {
            reports.append(as_dict(report));
        }
        for (const LbfgsMemory<T>& one : memories) {
            after.append(resumable ? py::object(as_state(one, n)) : py::object(py::none()));
        }
        return py::make_tuple(fitted, reports, after);
    });
}

} // namespace

void bind_minimize(py::module_& m) {
    m.def("minimize", &py_minimize, py::arg("net"), py::arg("w"), py::arg("X"), py::arg("T"),
          py::arg("sample_weight"), py::arg("method"), py::arg("weight_decay"), py::arg("penalty"),
          py::arg("iterations"), py::arg("gradient_tolerance"), py::arg("step_tolerance"),
          py::arg("error_tolerance"), py::arg("seconds"), py::arg("curvature"),
          py::arg("conjugacy"), py::arg("acceleration"), py::arg("memory"), py::arg("states"),
          py::arg("callback"));
}

} // namespace mlpcore::bindings
