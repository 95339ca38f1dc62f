#include "optim/minimize.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "optim/members.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// The caller's interrupt, and the end of the time.
class TimedInterrupt : public Interrupt {
  public:
    TimedInterrupt(Interrupt& of_caller, Clock::time_point start, double limit)
        : of_caller_(of_caller), start_(start), limit_(limit) {}
    bool was_time() const { return was_time_; } // and not the caller

  protected:
    bool ask() override {
        was_time_ = seconds_since(start_) >= limit_;
        return was_time_ || of_caller_.requested();
    }

  private:
    Interrupt& of_caller_;
    Clock::time_point start_;
    double limit_;
    bool was_time_ = false;
};

// The watch over a minimization: its history, the best weights, and all rules for stopping.
template <class T> class Watch : public Course<T> {
  public:
    Watch(const StoppingRules& rules, const Objective<T>& objective, Clock::time_point start,
          IterationObserver& observer, T* best)
        : rules_(rules), objective_(objective), start_(start), observer_(observer), best_(best),
          room_(static_cast<std::size_t>(objective.size())) {}

    Minimization report;

    bool begun(const Point<T>& point, State /*state*/) override { return ended(point); }
    bool ended(const Point<T>& point) override {
        const std::vector<T>& typical = objective_.typical.w;
        double step = std::numeric_limits<double>::infinity(), decrease = step;
        if (!report.objective.empty()) {
            std::copy_n(best_, room_.size(), room_.begin());
            objective_.shares.divide(room_.data());
            std::transform(point.v.begin(), point.v.end(), room_.begin(), room_.begin(),
                           std::minus<T>());
            step = relative_size(room_, point.v, typical);
            decrease = report.objective.back() - point.value;
        }
        report.objective.push_back(point.value);
        report.error.push_back(point.error);
        room_ = point.g;
        objective_.shares.divide(room_.data());
        report.gradient_norm.push_back(largest(room_));
        report.seconds.push_back(seconds_since(start_));
        if (!std::isfinite(point.value)) {
            return end(Ending::diverged);
        }
        std::copy_n(objective_.shares.in_w(point.v, room_), objective_.size(), best_);
        if (observer_.iteration_ended(report, best_)) {
            return end(Ending::callback);
        }
        const double size = std::abs(point.value);
        if (relative_gradient(point.g, point.v, typical) <= rules_.gradient * size) {
            return end(Ending::gradient);
        }
        if (step <= rules_.step) {
            return end(Ending::step);
        }
        if (decrease <= rules_.error * size) {
            return end(Ending::error);
        }
        if (report.iterations() >= rules_.iterations) {
            return end(Ending::iterations);
        }
        if (report.seconds.back() >= rules_.seconds) {
            return end(Ending::time);
        }
        if (observer_.interrupt().requested()) {
            return end(Ending::interrupted);
        }
        return false;
    }

    void exhausted() override { end(Ending::precision); }

    bool end(Ending ending) {
        report.ending = ending;
        return true;
    }

  private:
    const StoppingRules& rules_;
    const Objective<T>& objective_;
    Clock::time_point start_;
    IterationObserver& observer_;
    T* best_; // in w
    std::vector<T> room_;
};

// What the caller gave and gets is in w, also where the run is broken off.
template <class T> class InSteps {
  public:
    InSteps(LbfgsMemory<T>& memory, const Shares<T>& shares) : memory_(memory), shares_(shares) {
        memory_.enter(shares_);
    }
    ~InSteps() { memory_.leave(shares_); }
    InSteps(const InSteps&) = delete;
    InSteps& operator=(const InSteps&) = delete;

  private:
    LbfgsMemory<T>& memory_;
    const Shares<T>& shares_;
};

template <class T>
Minimization minimize_from(const NetworkView& net, const Batch<T>& data, const Penalty<T>* penalty,
                           Method method, const MethodOptions& options, const StoppingRules& rules,
                           LbfgsMemory<T>& memory, T* w, IterationObserver& observer,
                           Clock::time_point start) {
    TimedInterrupt interrupt(observer.interrupt(), start, rules.seconds);
    Objective<T> objective(net, data, 1, penalty, &interrupt);
    Watch<T> watch(rules, objective, start, observer, w);
    try {
        const InSteps<T> in_steps(memory, objective.shares);
        Point<T> at(net.n_weights);
        std::copy_n(w, net.n_weights, at.v.begin());
        objective.shares.divide(at.v.data());
        objective.evaluate(at);
        run(method, options, objective, at, memory, watch);
    } catch (const Interrupted&) {
        watch.end(interrupt.was_time() ? Ending::time : Ending::interrupted);
    }
    watch.report.counts = objective.counts;
    return std::move(watch.report);
}

} // namespace

template <class T>
void run(Method method, const MethodOptions& options, Objective<T>& objective, Point<T>& at,
         LbfgsMemory<T>& memory, Course<T>& course) {
    switch (method) {
    case Method::lm:
        return run_lm(objective, at, options.acceleration, course);
    case Method::scg:
        return run_scg(objective, at, options.curvature, course);
    case Method::newton_cg:
        return run_newton_cg(objective, at, options.curvature, course);
    case Method::cg:
        return run_cg(objective, at, options.conjugacy, course);
    case Method::bfgs:
        return run_bfgs(objective, at, course);
    case Method::lbfgs:
        return run_lbfgs(objective, at, memory, course);
    case Method::gd:
        return run_gd(objective, at, course);
    }
}

double working_memory(index n, Method method, index pairs) {
    constexpr double vectors = 17; // BFGS has 15 where the weights are scaled, `train` two more
    const auto weights = static_cast<double>(n);
    const double remembered = method == Method::lbfgs ? LbfgsMemory<double>::size(n, pairs) : 0;
    const double matrices = method == Method::lm ? 2 : method == Method::bfgs ? 1 : 0;
    return (vectors + matrices * weights) * weights + remembered;
}

template <class T>
Minimization minimize(const NetworkView& net, const Batch<T>& data, const Penalty<T>* penalty,
                      Method method, const MethodOptions& options, const StoppingRules& rules,
                      LbfgsMemory<T>& memory, T* w, IterationObserver& observer) {
    return minimize_from(net, data, penalty, method, options, rules, memory, w, observer,
                         Clock::now());
}

template <class T>
std::vector<Minimization>
minimize(const Ensemble<T>& ensemble, const Penalty<T>* penalty, Method method,
         const MethodOptions& options, const StoppingRules& rules,
         std::vector<LbfgsMemory<T>>& memories, T* w, Interrupt& interrupt) {
    class Silent : public IterationObserver {
      public:
        explicit Silent(Interrupt& interrupt) : interrupt_(interrupt) {}
        Interrupt& interrupt() override { return interrupt_; }
        bool iteration_ended(const Minimization&, const void*) override { return false; }

      private:
        Interrupt& interrupt_;
    };
    const Clock::time_point start = Clock::now();
    std::vector<Minimization> reports(static_cast<std::size_t>(ensemble.size));
    fit_members(ensemble.size, penalty, interrupt, [&](index s, Interrupt& own) {
        Silent observer(own);
        const auto at = static_cast<std::size_t>(s);
        reports[at] =
            minimize_from(ensemble.net, ensemble.samples_of(s), penalty, method, options, rules,
                          memories[at], w + s * ensemble.net.n_weights, observer, start);
        return reports[at].ending == Ending::interrupted;
    });
    return reports;
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template void run(Method, const MethodOptions&, Objective<T>&, Point<T>&, LbfgsMemory<T>&,     \
                      Course<T>&);                                                                 \
    template Minimization minimize(const NetworkView&, const Batch<T>&, const Penalty<T>*, Method, \
                                   const MethodOptions&, const StoppingRules&, LbfgsMemory<T>&,    \
                                   T*, IterationObserver&);                                        \
    template std::vector<Minimization> minimize(                                                   \
        const Ensemble<T>&, const Penalty<T>*, Method, const MethodOptions&, const StoppingRules&, \
        std::vector<LbfgsMemory<T>>&, /* NOLINT(bugprone-macro-parentheses) */                     \
        T*, Interrupt&);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
