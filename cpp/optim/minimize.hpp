// Minimizing E(w) + R(w), R a penalty, on all samples: what is asked for, what comes back,
// and the entry point.
#pragma once

#include <array>
#include <limits>
#include <string_view>
#include <vector>

#include "mlpcore/ensemble.hpp"
#include "optim/methods.hpp"

namespace mlpcore {

enum class Method { lm, scg, cg, newton_cg, bfgs, lbfgs, gd };
inline constexpr std::array method_names{std::string_view{"lm"},   std::string_view{"scg"},
                                         std::string_view{"cg"},   std::string_view{"newton-cg"},
                                         std::string_view{"bfgs"}, std::string_view{"lbfgs"},
                                         std::string_view{"gd"}};

enum class Ending {
    gradient,
    step,
    error,
    iterations,
    time,
    callback,
    interrupted,
    diverged,
    precision
};
inline constexpr std::array ending_names{
    std::string_view{"gradient"},    std::string_view{"step"},     std::string_view{"error"},
    std::string_view{"iterations"},  std::string_view{"time"},     std::string_view{"callback"},
    std::string_view{"interrupted"}, std::string_view{"diverged"}, std::string_view{"precision"}};

// When to stop. The tolerances don't depend on the units of the error or the number of samples.
struct StoppingRules {
    index iterations;
    double gradient; // of max_i |g_i| max(|w_i|, 1) / F (Dennis and Schnabel, 1983, 7.2.5)
    double step;     // of max_i |dw_i| / max(|w_i|, 1), the step of an iteration (their 7.2.7)
    double error;    // of the decrease of F in an iteration, divided by F
    double seconds = std::numeric_limits<double>::infinity();
};

struct MethodOptions {
    Conjugacy conjugacy = Conjugacy::polak_ribiere; // of cg
    ProductKind curvature = ProductKind::exact;     // of scg and newton-cg
    bool acceleration = false;                      // of lm
};

// What is known after each iteration; entry 0 is the start.
struct Minimization {
    std::vector<double> objective, error, gradient_norm, seconds; // F, E, max_i |g_i|
    Counts counts;
    Ending ending = Ending::interrupted;

    index iterations() const { return static_cast<index>(objective.size()) - 1; }
};

// Sees every iteration, on the calling thread.
class IterationObserver {
  public:
    virtual ~IterationObserver() = default;
    virtual Interrupt& interrupt() = 0;
    // True stops the minimization.
    virtual bool iteration_ended(const Minimization& course, const void* w) = 0;
};

// Runs one of the methods from `at` until the course says that it has ended.
template <class T>
void run(Method method, const MethodOptions& options, Objective<T>& objective, Point<T>& at,
         LbfgsMemory<T>& memory, Course<T>& course);

// The numbers that a method keeps for n weights, apart from what its derivatives take.
double working_memory(index n, Method method, index pairs);

// The pairs of L-BFGS where `train` runs it.
inline constexpr index pairs_in_training = 10;

// Lowers the objective from w, which becomes the lowest point found. `penalty` may be null.
// L-BFGS begins with what is in `memory`, and leaves there what it ends with.
template <class T>
Minimization minimize(const NetworkView& net, const Batch<T>& data, const Penalty<T>* penalty,
                      Method method, const MethodOptions& options, const StoppingRules& rules,
                      LbfgsMemory<T>& memory, T* w, IterationObserver& observer);

// The S networks of an ensemble from the rows of w, side by side, or one after the other where the
// penalty is of the caller; each becomes what it would alone. Those that an interrupt leaves out
// stay as they are, with an empty history.
template <class T>
std::vector<Minimization>
minimize(const Ensemble<T>& ensemble, const Penalty<T>* penalty, Method method,
         const MethodOptions& options, const StoppingRules& rules,
         std::vector<LbfgsMemory<T>>& memories, T* w, Interrupt& interrupt);

} // namespace mlpcore
