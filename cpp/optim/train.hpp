// Fitting a network: what is asked for, what comes back, and the entry point.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mlpcore/ensemble.hpp"
#include "mlpcore/interrupt.hpp"

namespace mlpcore {

enum class Optimizer { adam, sgd, lbfgs };
inline constexpr std::array optimizer_names{std::string_view{"adam"}, std::string_view{"sgd"},
                                            std::string_view{"lbfgs"}};

enum class Stop { epochs, patience, converged, interrupted, diverged, callback };
inline constexpr std::array stop_names{
    std::string_view{"epochs"},      std::string_view{"patience"}, std::string_view{"converged"},
    std::string_view{"interrupted"}, std::string_view{"diverged"}, std::string_view{"callback"}};

// The objective is E(w) + weight_decay / 2 w.w with E a sum over the samples; the optimizers work
// on it divided by the total weight of the samples, so that a learning rate does not depend on how
// many there are.
struct Settings {
    Optimizer optimizer;
    index epochs;
    index batch_size; // 0 or at least the number of samples: the full batch, without shuffling
    double learning_rate;
    double momentum; // of sgd
    double weight_decay;
    index patience; // epochs without improvement; 0: no limit
    double min_delta;
    std::uint64_t seed;
};

// Errors are means over the samples, without the weight decay; entry 0 is before the first epoch.
struct History {
    std::vector<double> training_error;
    std::vector<double> validation_error; // empty without validation data
    index best_epoch = 0;
    Stop stop = Stop::epochs;
};

// Sees every epoch, on the calling thread.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual Interrupt& interrupt() = 0;
    // True stops the training.
    virtual bool epoch_ended(const History& history, const void* w) = 0;
};

// Fits w, which becomes the weights of the best epoch: that of the lowest validation error, or of
// the lowest objective where there is no validation data (validation.n == 0).
template <class T>
History train(const NetworkView& net, const Batch<T>& training, const Batch<T>& validation,
              const Settings& settings, T* w, Observer& observer);

// Fits the S networks of an ensemble from the rows of w, side by side; network s shuffles with the
// seed plus s, so that it becomes what it would alone with that seed. Those that an interrupt
// leaves out stay as they are, with an empty history.
template <class T>
std::vector<History> train(const Ensemble<T>& training, const Ensemble<T>& validation,
                           const Settings& settings, T* w, Interrupt& interrupt);

} // namespace mlpcore
