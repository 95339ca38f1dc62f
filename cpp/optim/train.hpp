// Fitting a network: what is asked for, what comes back, and the entry point.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mlpcore/ensemble.hpp"
#include "mlpcore/interrupt.hpp"
#include "optim/archive.hpp"
#include "optim/minimize.hpp"
#include "optim/penalty.hpp"
#include "optim/schedule.hpp"

namespace mlpcore {

// Those of first order; the others are the methods of minimize, an iteration an epoch.
enum class Optimizer { adam, adamw, sgd, rprop, minimizer };
inline constexpr std::array first_order_names{std::string_view{"adam"}, std::string_view{"adamw"},
                                              std::string_view{"sgd"}, std::string_view{"rprop"}};

enum class Stop { epochs, patience, converged, interrupted, diverged, callback };
inline constexpr std::array stop_names{
    std::string_view{"epochs"},      std::string_view{"patience"}, std::string_view{"converged"},
    std::string_view{"interrupted"}, std::string_view{"diverged"}, std::string_view{"callback"}};

// The objective is E(w) + R(w) with E a sum over the samples and R a penalty; the optimizers work
// on it divided by the total weight of the samples, so that a learning rate does not depend on how
// many there are.
struct Settings {
    Optimizer optimizer;
    Method method; // of minimizer
    MethodOptions options;
    index epochs;
    index batch_size; // 0 or at least the number of samples: the full batch, without shuffling
    double learning_rate;
    Schedule schedule;
    double momentum;  // of sgd
    bool nesterov;    // of sgd
    double decay;     // of adamw: the weight decay that the gradient does not see
    double clip_norm; // the longest gradient; infinite: any
    index patience;   // epochs without improvement; 0: no limit
    double min_delta;
    std::uint64_t seed;
};

// Errors are means over the samples, without the penalty; entry 0 is before the first epoch.
struct History {
    std::vector<double> training_error;
    std::vector<double> validation_error;  // empty without validation data
    std::vector<double> validation_metric; // empty without a metric
    std::vector<double> learning_rate;     // of the epoch's first step; empty for minimizer
    index best_epoch = 0;
    Stop stop = Stop::epochs;
};

// Sees every epoch, on the calling thread.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual Interrupt& interrupt() = 0;
    // Stop::callback or Stop::interrupted if the training should stop.
    virtual std::optional<Stop> epoch_ended(const History& history, const void* w) = 0;

    // What is to be lowered in place of the validation error.
    virtual bool has_metric() const { return false; }
    virtual double metric(const void* /*w*/) { return 0; }

    // Whether states are kept, and whether one should be now; `ended` when there will be no other
    // time.
    virtual bool keeps() const { return false; }
    virtual bool wants_checkpoint(bool /*ended*/) { return false; }
    virtual void checkpoint(const Archive& /*state*/, const void* /*best*/) {}
};

// Fits w, which becomes the weights of the best epoch: that of the lowest validation metric or
// error, or of the lowest objective where there is no validation data (validation.n == 0).
// `penalty` may be null. `from` is what a checkpoint kept, or null.
template <class T>
History train(const NetworkView& net, const Batch<T>& training, const Batch<T>& validation,
              const Penalty<T>* penalty, const Settings& settings, Archive* from, T* w,
              Observer& observer);

// Fits the S networks of an ensemble from the rows of w, side by side, or one after the other where
// the penalty is of the caller; network s shuffles with the seed plus s, so that it becomes what it
// would alone with that seed. Those that an interrupt leaves out stay as they are, with an empty
// history.
template <class T>
std::vector<History> train(const Ensemble<T>& training, const Ensemble<T>& validation,
                           const Penalty<T>* penalty, const Settings& settings, T* w,
                           Interrupt& interrupt);

} // namespace mlpcore
