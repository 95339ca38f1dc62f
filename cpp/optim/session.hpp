// What all optimizers share while a network is fitted: the objective, and the watch over its
// course (history, best weights, patience, divergence, learning rate, checkpoints).
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "mlpcore/derivatives.hpp"
#include "optim/train.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

template <class T> double total_weight(const Batch<T>& data) {
    if (data.sample_weight == nullptr) {
        return static_cast<double>(data.n);
    }
    double total = 0;
    for (index s = 0; s < data.n; ++s) {
        total += static_cast<double>(data.sample_weight[data.rows ? data.rows[s] : s]);
    }
    return total;
}

template <class T> class TrainingSession {
  public:
    TrainingSession(const NetworkView& net, const Batch<T>& training, const Batch<T>& validation,
                    const Penalty<T>* penalty, const Settings& settings, Archive* from, const T* w,
                    Observer& observer)
        : net(net), training(training), penalty(penalty), settings(settings),
          validation_(validation), observer_(observer), from_(from),
          scale_(1 / total_weight(training)), validation_scale_(1 / total_weight(validation)),
          best_(w, w + net.n_weights), now_(best_) {
        if (from_ != nullptr) {
            visit(*from_);
        }
    }

    const NetworkView& net;
    const Batch<T>& training;
    const Penalty<T>* const penalty;
    const Settings& settings;
    History history;

    index epoch() const { return static_cast<index>(history.training_error.size()) - 1; }
    const std::vector<T>& best_weights() const { return best_; }
    // The weights to begin with.
    const std::vector<T>& first_weights() const { return now_; }
    Interrupt* interrupt() { return &observer_.interrupt(); }

    // 1 / the total weight of the training samples.
    double scale() const { return scale_; }
    double mean_error(const T* w) { return scale_ * error(net, w, training, interrupt()); }

    // Mean error and the gradient of the objective over some samples whose total weight is
    // 1 / scale, the penalty in its share; no longer than the longest allowed.
    double mean_gradient(const T* w, const Batch<T>& samples, double scale, T* g) {
        const double e = gradient(net, w, samples, g, interrupt());
        for (index i = 0; i < net.n_weights; ++i) {
            g[i] = static_cast<T>(scale * static_cast<double>(g[i])); // it may be beyond T
        }
        if (penalty != nullptr) {
            penalty->add_gradient(w, scale_, g);
        }
        if (std::isfinite(settings.clip_norm)) {
            const double length = norm(net.n_weights, g);
            for (index i = 0; length > settings.clip_norm && i < net.n_weights; ++i) {
                g[i] *= static_cast<T>(settings.clip_norm / length);
            }
        }
        return scale * e;
    }
    double mean_gradient(const T* w, T* g) { return mean_gradient(w, training, scale_, g); }

    // The rate of the step that begins when `part` of the epoch under way is done.
    double learning_rate(double part) const {
        return settings.learning_rate * settings.schedule.share(static_cast<double>(epoch()) + part,
                                                                settings.epochs, reductions_);
    }

    // Before the first epoch: `state` names what the optimizer keeps besides the weights. True if
    // the run is taken up from a checkpoint; that state has then been read, and the place is known.
    bool is_taken_up(State state) {
        state_ = std::move(state);
        if (from_ != nullptr) {
            state_(*from_);
        }
        return from_ != nullptr;
    }
    // Whether a run that is taken up has nothing left to do: it had ended for a reason of its own,
    // or has all the epochs that are asked for. One that was broken off goes on.
    bool is_over() {
        const bool ended = history.stop != Stop::epochs && history.stop != Stop::interrupted;
        return from_ != nullptr && (ended || (epoch() >= settings.epochs && stop(Stop::epochs)));
    }

    // Takes note of an epoch that ended with w; true if the training should end. `objective` is the
    // training error with the penalty, `converged` whether it can't be lowered any further.
    bool record(double training_error, const T* w) {
        return record(training_error, training_error + (penalty ? scale_ * penalty->value(w) : 0.0),
                      w, false);
    }
    bool record(double training_error, double objective, const T* w, bool converged) {
        // A run that is taken up does not look again at an epoch that is done. So a checkpoint says
        // what the run's own rules make of it, also where the caller breaks the run off just then.
        std::optional<Stop> reason = note(training_error, objective, w, converged);
        std::copy_n(w, net.n_weights, now_.begin());
        std::optional<Stop> asked;
        if (reason != Stop::diverged) {
            asked = observer_.epoch_ended(history, w);
        }
        if (!reason && !asked && interrupt()->requested()) {
            asked = Stop::interrupted;
        }
        if (!reason || asked == Stop::callback) {
            reason = asked;
        }
        history.stop = reason.value_or(history.stop);
        keep(reason.has_value());
        history.stop = asked.value_or(history.stop);
        return reason.has_value();
    }
    // Ends a run between two epochs.
    void end(Stop reason) {
        stop(reason);
        keep(true);
    }

    // Ends a run in the midst of an epoch; what is kept is the run as it was before that.
    void break_off() {
        stop(Stop::interrupted);
        if (remembered_) {
            try {
                observer_.checkpoint(*remembered_, best_.data());
            } catch (const Interrupted&) {
                return; // its reason is known to the observer
            }
        }
    }

    bool stop(Stop reason) {
        history.stop = reason;
        return true;
    }

  private:
    // An interrupt comes in the midst of an epoch, and must not cost what was done since the last
    // checkpoint: once a second the state is remembered, for break_off.
    void keep(bool over) {
        if (!state_ || !observer_.keeps()) {
            return;
        }
        const auto now = coarse_clock();
        const bool wanted = observer_.wants_checkpoint(over);
        if (!wanted && now - remembered_at_ < std::chrono::seconds(1)) {
            return;
        }
        Archive& state = remembered_.emplace();
        visit(state);
        state_(state);
        remembered_at_ = now;
        if (wanted) {
            observer_.checkpoint(state, best_.data());
            remembered_.reset(); // not before: an interrupt may come while it is written
        }
    }

    // Takes note of an epoch, and says why it is the last one if it is by the run's own rules.
    // Those by which a longer run would end as well come before `epochs`.
    std::optional<Stop> note(double training_error, double objective, const T* w, bool converged) {
        // First what may be interrupted, then the notes: all curves are of one length.
        double watched = objective;
        if (validation_.n > 0) {
            watched = validation_scale_ * error(net, w, validation_, interrupt());
        }
        const double validation_error = watched;
        bool finite = std::isfinite(training_error) && std::isfinite(objective) &&
                      std::isfinite(watched) &&
                      kernels<T>().first_nonfinite(net.n_weights, w) == net.n_weights;
        if (observer_.has_metric()) {
            watched = finite ? observer_.metric(w) : std::numeric_limits<double>::quiet_NaN();
            history.validation_metric.push_back(watched);
            finite = std::isfinite(watched);
        }
        if (validation_.n > 0) {
            history.validation_error.push_back(validation_error);
        }
        history.training_error.push_back(training_error);
        if (settings.optimizer != Optimizer::minimizer) {
            history.learning_rate.push_back(learning_rate(0));
        }
        if (!finite) {
            return Stop::diverged;
        }
        if (watched < lowest_) {
            lowest_ = watched;
            history.best_epoch = epoch();
            std::copy_n(w, net.n_weights, best_.begin());
        }
        if (watched < reference_ - settings.min_delta) {
            reference_ = watched;
            last_improvement_ = last_reduction_ = epoch();
        }
        if (static_cast<double>(epoch() - last_reduction_) >= settings.schedule.every) {
            ++reductions_; // looked at by the schedule of plateaus alone
            last_reduction_ = epoch();
            if (!history.learning_rate.empty()) {
                history.learning_rate.back() = learning_rate(0);
            }
        }
        if (settings.patience > 0 && epoch() - last_improvement_ >= settings.patience) {
            return Stop::patience;
        }
        if (converged) {
            return Stop::converged;
        }
        if (epoch() >= settings.epochs) {
            return Stop::epochs;
        }
        return {};
    }

    void visit(Archive& a) {
        a.choice("stop", history.stop, stop_names.size());
        a("training_error", history.training_error);
        a("validation_error", history.validation_error);
        a("validation_metric", history.validation_metric);
        a("learning_rate", history.learning_rate);
        a("best_epoch", history.best_epoch);
        a.fixed("best", best_);
        a.fixed("now", now_);
        a("lowest", lowest_);
        a("reference", reference_);
        a("last_improvement", last_improvement_);
        a("last_reduction", last_reduction_);
        a("reductions", reductions_);
    }

    const Batch<T>& validation_;
    Observer& observer_;
    Archive* from_;
    State state_;
    std::optional<Archive> remembered_; // if it is newer than the last checkpoint
    std::chrono::nanoseconds remembered_at_ = std::chrono::nanoseconds::min() / 2; // never
    double scale_, validation_scale_;
    std::vector<T> best_, now_;
    double lowest_ = std::numeric_limits<double>::infinity();
    double reference_ = std::numeric_limits<double>::infinity();
    index last_improvement_ = 0, last_reduction_ = 0, reductions_ = 0;
};

// The optimizers of first order: each runs from w until the session says stop.
template <class T> void run_first_order(TrainingSession<T>& session, T* w);

} // namespace mlpcore
