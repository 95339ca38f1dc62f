// What all optimizers share while a network is fitted: the objective, and the watch over its
// course (history, best weights, patience, divergence).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mlpcore/derivatives.hpp"
#include "optim/train.hpp"

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
                    const Settings& settings, const T* w, Observer& observer)
        : net(net), training(training), settings(settings), validation_(validation),
          observer_(observer), scale_(1 / total_weight(training)),
          validation_scale_(1 / total_weight(validation)), best_(w, w + net.n_weights) {}

    const NetworkView& net;
    const Batch<T>& training;
    const Settings& settings;
    History history;

    index epoch() const { return static_cast<index>(history.training_error.size()) - 1; }
    const std::vector<T>& best_weights() const { return best_; }
    Interrupt* interrupt() { return &observer_.interrupt(); }

    // 1 / the total weight of the training samples.
    double scale() const { return scale_; }
    double mean_error(const T* w) { return scale_ * error(net, w, training, interrupt()); }

    // Mean error and the gradient of the objective over some samples whose total weight is
    // 1 / scale, the weight decay in its share.
    double mean_gradient(const T* w, const Batch<T>& samples, double scale, T* g) {
        const double e = gradient(net, w, samples, g, interrupt());
        const T decay = static_cast<T>(settings.weight_decay * scale_);
        for (index i = 0; i < net.n_weights; ++i) {
            g[i] = static_cast<T>(scale) * g[i] + decay * w[i];
        }
        return scale * e;
    }
    double mean_gradient(const T* w, T* g) { return mean_gradient(w, training, scale_, g); }

    double penalty(const T* w) const {
        return settings.weight_decay == 0
                   ? 0.0
                   : 0.5 * settings.weight_decay * scale_ * kernels<T>().dot(net.n_weights, w, w);
    }

    // Takes note of an epoch that ended with w; true if the training should end. `objective` is the
    // training error with the penalty.
    bool record(double training_error, const T* w) {
        return record(training_error, training_error + penalty(w), w);
    }
    bool record(double training_error, double objective, const T* w) {
        double validation_error = 0;
        if (validation_.n > 0) {
            validation_error = validation_scale_ * error(net, w, validation_, interrupt());
        }
        const double watched = validation_.n > 0 ? validation_error : objective;
        const bool finite = std::isfinite(training_error) && std::isfinite(watched) &&
                            kernels<T>().first_nonfinite(net.n_weights, w) == net.n_weights;
        history.training_error.push_back(training_error);
        if (validation_.n > 0) {
            history.validation_error.push_back(validation_error);
        }
        if (!finite) {
            return stop(Stop::diverged);
        }
        if (watched < lowest_) {
            lowest_ = watched;
            history.best_epoch = epoch();
            std::copy_n(w, net.n_weights, best_.begin());
        }
        if (watched < reference_ - settings.min_delta) {
            reference_ = watched;
            last_improvement_ = epoch();
        }
        if (observer_.epoch_ended(history, w)) {
            return stop(Stop::callback);
        }
        if (settings.patience > 0 && epoch() - last_improvement_ >= settings.patience) {
            return stop(Stop::patience);
        }
        if (epoch() >= settings.epochs) {
            return stop(Stop::epochs);
        }
        if (interrupt()->requested()) {
            return stop(Stop::interrupted);
        }
        return false;
    }

    bool stop(Stop reason) {
        history.stop = reason;
        return true;
    }

  private:
    const Batch<T>& validation_;
    Observer& observer_;
    double scale_, validation_scale_;
    std::vector<T> best_;
    double lowest_ = std::numeric_limits<double>::infinity();
    double reference_ = std::numeric_limits<double>::infinity();
    index last_improvement_ = 0;
};

// The optimizers: each runs from w until the session says stop.
template <class T> void run_sgd(TrainingSession<T>& session, T* w);
template <class T> void run_adam(TrainingSession<T>& session, T* w);

} // namespace mlpcore
