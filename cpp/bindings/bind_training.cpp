// The native training loops, and what of Python they may call: the callback, the progress display.
#include <chrono>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "fitting.hpp"
#include "optim/train.hpp"

namespace mlpcore::bindings {

namespace {

template <class T> class PythonObserver : public Observer {
  public:
    PythonObserver(py::object callback, py::object progress, index n_weights)
        : callback_(std::move(callback)), progress_(std::move(progress)), n_weights_(n_weights),
          calls_back_(!callback_.is_none()), shows_progress_(!progress_.is_none()) {}

    FitInterrupt& interrupt() override { return interrupt_; }

    bool epoch_ended(const History& history, const void* w) override {
        // The progress is shown ten times a second, the callback called every epoch.
        const auto now = std::chrono::steady_clock::now();
        const bool show = shows_progress_ && now >= next_progress_;
        if (!show && !calls_back_) {
            return false;
        }
        const py::gil_scoped_acquire gil;
        const auto epoch = static_cast<index>(history.training_error.size()) - 1;
        const double training = history.training_error.back();
        const py::object validation = history.validation_error.empty()
                                          ? py::object(py::none())
                                          : py::float_(history.validation_error.back());
        try {
            if (show) {
                next_progress_ = now + std::chrono::milliseconds(100);
                progress_(epoch, training, validation);
            }
            if (calls_back_) {
                const py::array_t<T> weights(n_weights_, static_cast<const T*>(w));
                return py::bool_(callback_(epoch, training, validation, weights));
            }
            return false;
        } catch (py::error_already_set& e) {
            e.restore();
            return interrupt_.catch_pending();
        }
    }

  private:
    py::object callback_, progress_;
    index n_weights_;
    bool calls_back_, shows_progress_;
    std::chrono::steady_clock::time_point next_progress_{};
    FitInterrupt interrupt_;
};

// Training error, validation error, best epoch, why it stopped.
py::tuple as_tuple(const History& history) {
    const auto to_array = [](const std::vector<double>& v) {
        return py::array_t<double>(static_cast<py::ssize_t>(v.size()), v.data());
    };
    return py::make_tuple(to_array(history.training_error), to_array(history.validation_error),
                          history.best_epoch,
                          std::string(stop_names[static_cast<std::size_t>(history.stop)]));
}

py::tuple py_train(const Network& net, py::handle w, py::handle x, py::handle t,
                   py::handle sample_weight, py::handle x_val, py::handle t_val,
                   const std::string& optimizer, index epochs, index batch_size,
                   double learning_rate, double momentum, double weight_decay, index patience,
                   double min_delta, std::uint64_t seed, const py::object& callback,
                   const py::object& progress) {
    const Settings settings{
        .optimizer = static_cast<Optimizer>(as_choice("optimizer", optimizer_names, optimizer)),
        .epochs = epochs,
        .batch_size = batch_size,
        .learning_rate = learning_rate,
        .momentum = momentum,
        .weight_decay = weight_decay,
        .patience = patience,
        .min_delta = min_delta,
        .seed = seed};
    return with_type(net, [&]<class T>(T) -> py::tuple {
        if (static_cast<T>(learning_rate) == 0) {
            throw py::value_error("learning_rate is " +
                                  std::string(py::str(py::float_(learning_rate))) +
                                  ", which float32 can't tell from 0");
        }
        const auto start = as_weights<T>(net, w);
        const auto training = as_samples<T>(net, start, x, t, sample_weight);
        check_not_empty({}, start, training);
        Samples<T> validation;
        if (!x_val.is_none()) {
            const SampleNames names{.x = "X_val", .t = "T_val"};
            validation = as_samples<T>(net, start, x_val, t_val, py::none(), names);
            check_not_empty(names, start, validation);
        }
        auto fitted = new_array<T>("w", start, {net.architecture.view().n_weights});
        T* const weights = fitted.mutable_data();
        std::copy_n(start.array.data(), start.array.size(), weights);
        std::vector<History> histories;
        PythonObserver<T> observer(callback, progress, start.array.size());
        {
            const WithoutGil released;
            if (start.is_ensemble) {
                histories =
                    train(as_ensemble(net, start, training), as_ensemble(net, start, validation),
                          settings, weights, observer.interrupt());
            } else {
                histories.push_back(train(net.architecture.view(), training.batch, validation.batch,
                                          settings, weights, observer));
            }
        }
        if (observer.interrupt().failure) {
            std::rethrow_exception(observer.interrupt().failure);
        }
        if (observer.interrupt().interrupted && !start.is_ensemble) {
            histories.front().stop = Stop::interrupted; // and not by what the callback answered
        }
        py::list reports;
        for (const History& history : histories) {
            reports.append(as_tuple(history));
        }
        return py::make_tuple(fitted, reports);
    });
}

} // namespace

void bind_training(py::module_& m) {
    m.def("train", &py_train, py::arg("net"), py::arg("w"), py::arg("X"), py::arg("T"),
          py::arg("sample_weight"), py::arg("X_val"), py::arg("T_val"), py::arg("optimizer"),
          py::arg("epochs"), py::arg("batch_size"), py::arg("learning_rate"), py::arg("momentum"),
          py::arg("weight_decay"), py::arg("patience"), py::arg("min_delta"), py::arg("seed"),
          py::arg("callback"), py::arg("progress"));
}

} // namespace mlpcore::bindings
