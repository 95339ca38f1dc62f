// The native training loops, and what of Python they may call: the callback, the progress display.
#include <algorithm>
#include <chrono>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "fitting.hpp"
#include "optim/train.hpp"
#include "penalties.hpp"

namespace mlpcore::bindings {

namespace {

// What of Python a training may call; each of them may be None.
struct Callees {
    py::object epoch_ended; // (epoch, training_error, validation_error, w); true stops
    py::object best;        // (epoch, w) of a new best epoch
    py::object progress;    // (epoch, training_error, validation_error), ten times a second
    py::object metric;      // (w), what is to be lowered
    py::object checkpoint;  // (numbers, words, best w), every `checkpoint_seconds`
    double checkpoint_seconds = 0;
};

template <class T> class PythonObserver : public Observer {
  public:
    PythonObserver(Callees callees, index n_weights)
        : callees_(std::move(callees)), n_weights_(n_weights),
          calls_back_(!callees_.epoch_ended.is_none()), wants_best_(!callees_.best.is_none()),
          shows_progress_(!callees_.progress.is_none()), has_metric_(!callees_.metric.is_none()),
          keeps_(!callees_.checkpoint.is_none()), next_checkpoint_(Clock::now() + between()) {}

    FitInterrupt& interrupt() override { return interrupt_; }

    std::optional<Stop> epoch_ended(const History& history, const void* w) override {
        // The progress is shown ten times a second, the callback called every epoch.
        const auto now = Clock::now();
        const bool show = shows_progress_ && now >= next_progress_;
        const auto epoch = static_cast<index>(history.training_error.size()) - 1;
        const bool best = wants_best_ && history.best_epoch == epoch;
        if (!show && !calls_back_ && !best) {
            return {};
        }
        const py::gil_scoped_acquire gil;
        const double training = history.training_error.back();
        const py::object validation = history.validation_error.empty()
                                          ? py::object(py::none())
                                          : py::float_(history.validation_error.back());
        try {
            if (show) {
                next_progress_ = now + std::chrono::milliseconds(100);
                callees_.progress(epoch, training, validation);
            }
            if (best) {
                callees_.best(epoch, copy(w));
            }
            if (calls_back_ &&
                py::bool_(callees_.epoch_ended(epoch, training, validation, copy(w)))) {
                return Stop::callback;
            }
            return {};
        } catch (py::error_already_set& e) {
            e.restore();
            interrupt_.catch_pending();
            return Stop::interrupted; // not by an answer: a run that is taken up goes on
        }
    }

    bool has_metric() const override { return has_metric_; }
    double metric(const void* w) override {
        double result = 0;
        interrupt_.call([&] { result = py::cast<double>(callees_.metric(copy(w))); });
        return result;
    }

    bool keeps() const override { return keeps_; }
    bool wants_checkpoint(bool ended) override {
        if (!keeps_ || (!ended && Clock::now() < next_checkpoint_)) {
            return false;
        }
        next_checkpoint_ = Clock::now() + between();
        return true;
    }
    void checkpoint(const Archive& state, const void* best) override {
        interrupt_.call([&] {
            const auto to_dict = [](const auto& named) {
                py::dict all;
                for (const auto& [name, values] : named) {
                    all[name.c_str()] = to_array(values);
                }
                return all;
            };
            callees_.checkpoint(to_dict(state.numbers), to_dict(state.words), copy(best));
        });
    }

  private:
    using Clock = std::chrono::steady_clock;

    Clock::duration between() const {
        return std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(std::min(callees_.checkpoint_seconds, 1e9)));
    }
    py::array_t<T> copy(const void* w) const {
        return py::array_t<T>(n_weights_, static_cast<const T*>(w));
    }

    Callees callees_;
    index n_weights_;
    bool calls_back_, wants_best_, shows_progress_, has_metric_, keeps_;
    Clock::time_point next_progress_{}, next_checkpoint_;
    FitInterrupt interrupt_;
};

py::dict as_dict(const History& history) {
    py::dict curves, all;
    curves["training_error"] = to_array(history.training_error);
    curves["validation_error"] = to_array(history.validation_error);
    curves["validation_metric"] = to_array(history.validation_metric);
    curves["learning_rate"] = to_array(history.learning_rate);
    all["history"] = curves;
    all["best_epoch"] = history.best_epoch;
    all["stopped"] = std::string(stop_names[static_cast<std::size_t>(history.stop)]);
    return all;
}

// (numbers, words), dicts of arrays, as `Callees::checkpoint` got them.
Archive as_archive(const py::tuple& kept) {
    Archive archive;
    archive.is_read = true;
    for (const auto& [name, values] : py::dict(kept[0])) {
        const auto array = py::array_t<double, py::array::c_style | py::array::forcecast>(
            py::reinterpret_borrow<py::object>(values));
        archive.numbers[py::cast<std::string>(name)] = {array.data(), array.data() + array.size()};
    }
    for (const auto& [name, values] : py::dict(kept[1])) {
        const auto array = py::array_t<std::uint64_t, py::array::c_style | py::array::forcecast>(
            py::reinterpret_borrow<py::object>(values));
        archive.words[py::cast<std::string>(name)] = {array.data(), array.data() + array.size()};
    }
    return archive;
}

template <std::size_t N>
bool is_among(const std::array<std::string_view, N>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// The settings from the dict that mlpcore.training has checked.
Settings as_settings(const py::dict& given) {
    const auto number = [&](const char* name) { return py::cast<double>(given[name]); };
    const auto whole = [&](const char* name) { return py::cast<index>(given[name]); };
    const auto optimizer = py::cast<std::string>(given["optimizer"]);
    const bool first_order = is_among(first_order_names, optimizer);
    const auto schedule = py::cast<py::dict>(given["schedule"]);
    const auto of_schedule = [&](const char* name) { return py::cast<double>(schedule[name]); };
    return {.optimizer = first_order ? static_cast<Optimizer>(
                                           as_choice("optimizer", first_order_names, optimizer))
                                     : Optimizer::minimizer,
            .method = first_order
                          ? Method::lbfgs
                          : static_cast<Method>(as_choice("optimizer", method_names, optimizer)),
            .options = {},
            .epochs = whole("epochs"),
            .batch_size = whole("batch_size"),
            .learning_rate = number("learning_rate"),
            .schedule = {.kind = static_cast<ScheduleKind>(as_choice(
                             "schedule", schedule_names, py::cast<std::string>(schedule["kind"]))),
                         .factor = of_schedule("factor"),
                         .every = of_schedule("every"),
                         .start = of_schedule("start"),
                         .warmup = of_schedule("warmup"),
                         .final = of_schedule("final")},
            .momentum = number("momentum"),
            .nesterov = py::cast<bool>(given["nesterov"]),
            .decay = number("decay"),
            .clip_norm = number("clip_norm"),
            .patience = whole("patience"),
            .min_delta = number("min_delta"),
            .seed = py::cast<std::uint64_t>(given["seed"])};
}

// The fitted weights, and for each network a dict of what is known of its course.
py::tuple py_train(const Network& net, py::handle w, py::handle x, py::handle t,
                   py::handle sample_weight, py::handle x_val, py::handle t_val,
                   const py::dict& given, py::handle weight_decay, py::handle penalty,
                   const py::dict& called, const py::object& from) {
    const Settings settings = as_settings(given);
    const Callees callees{.epoch_ended = called["epoch_ended"],
                          .best = called["best"],
                          .progress = called["progress"],
                          .metric = called["metric"],
                          .checkpoint = called["checkpoint"],
                          .checkpoint_seconds = py::cast<double>(called["checkpoint_seconds"])};
    return with_type(net, [&]<class T>(T) -> py::tuple {
        if (static_cast<T>(settings.learning_rate) == 0) {
            throw py::value_error("learning_rate is " +
                                  std::string(py::str(py::float_(settings.learning_rate))) +
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
        const index n = net.architecture.view().n_weights;
        if (settings.optimizer == Optimizer::minimizer) {
            const auto weights = static_cast<double>(n);
            // Of the matrix of BFGS a checkpoint has a copy, NumPy one of that, and the file
            // another; what is read from a file is one as well.
            const double copies =
                settings.method != Method::bfgs
                    ? 0
                    : (callees.checkpoint.is_none() ? 0 : 3) + (from.is_none() ? 0 : 1);
            check_working_memory(
                "the optimizer",
                working_memory(n, settings.method, pairs_in_training) *
                        static_cast<double>(sizeof(T)) *
                        static_cast<double>(std::min<index>(start.networks, max_threads())) +
                    copies * sizeof(double) * weights * weights);
        }
        auto fitted = new_array<T>("w", start, {n});
        T* const weights = fitted.mutable_data();
        std::copy_n(start.array.data(), start.array.size(), weights);
        std::vector<History> histories;
        PythonObserver<T> observer(callees, start.array.size());
        const auto added = as_penalty<T>(net, weight_decay, penalty, observer.interrupt());
        Archive archive;
        if (!from.is_none()) {
            archive = as_archive(py::cast<py::tuple>(from));
        }
        {
            const WithoutGil released;
            if (start.is_ensemble) {
                histories =
                    train(as_ensemble(net, start, training), as_ensemble(net, start, validation),
                          added.get(), settings, weights, observer.interrupt());
            } else {
                histories.push_back(train(net.architecture.view(), training.batch, validation.batch,
                                          added.get(), settings,
                                          archive.is_read ? &archive : nullptr, weights, observer));
            }
        }
        if (observer.interrupt().failure) {
            std::rethrow_exception(observer.interrupt().failure);
        }
        py::list reports;
        for (const History& history : histories) {
            reports.append(as_dict(history));
        }
        return py::make_tuple(fitted, reports);
    });
}

} // namespace

void bind_training(py::module_& m) {
    m.def("train", &py_train, py::arg("net"), py::arg("w"), py::arg("X"), py::arg("T"),
          py::arg("sample_weight"), py::arg("X_val"), py::arg("T_val"), py::arg("settings"),
          py::arg("weight_decay"), py::arg("penalty"), py::arg("called"), py::arg("from_state"));
}

} // namespace mlpcore::bindings
