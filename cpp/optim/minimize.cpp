#include "optim/minimize.hpp"

#include <chrono>

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
    bool time_is_over() const { return seconds_since(start_) >= limit_; }

  protected:
    bool ask() override { return time_is_over() || of_caller_.requested(); }

  private:
    Interrupt& of_caller_;
    Clock::time_point start_;
    double limit_;
};

// The watch over a minimization: its history, the best weights, and all rules for stopping.
template <class T> class Watch : public Course<T> {
  public:
    Watch(const StoppingRules& rules, Clock::time_point start, IterationObserver& observer, T* best)
        : rules_(rules), start_(start), observer_(observer), best_(best) {}

    Minimization report;

    bool begun(const Point<T>& point, State /*state*/) override { return ended(point); }
    bool ended(const Point<T>& point) override {
        const index n = static_cast<index>(point.w.size());
        double step = std::numeric_limits<double>::infinity(), decrease = step;
        if (!report.objective.empty()) {
            step = 0;
            for (index i = 0; i < n; ++i) {
                const auto now = static_cast<double>(point.w[static_cast<std::size_t>(i)]);
                step = std::max(step, std::abs(now - static_cast<double>(best_[i])) /
                                          std::max(std::abs(now), 1.0));
            }
            decrease = (report.objective.back() - point.value) / point.value;
        }
        report.objective.push_back(point.value);
        report.error.push_back(point.error);
        report.gradient_norm.push_back(largest(point.g));
        report.seconds.push_back(seconds_since(start_));
        if (!std::isfinite(point.value)) {
            return end(Ending::diverged);
        }
        std::copy(point.w.begin(), point.w.end(), best_);
        if (observer_.iteration_ended(report, best_)) {
            return end(Ending::callback);
        }
        if (relative_gradient(point) <= rules_.gradient) {
            return end(Ending::gradient);
        }
        if (step <= rules_.step) {
            return end(Ending::step);
        }
        if (decrease <= rules_.error) {
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
    static double relative_gradient(const Point<T>& point) {
        double most = 0;
        for (std::size_t i = 0; i < point.w.size(); ++i) {
            most = std::max(most, std::abs(static_cast<double>(point.g[i])) *
                                      std::max(std::abs(static_cast<double>(point.w[i])), 1.0));
        }
        return most == 0 ? 0 : most / point.value;
    }

    const StoppingRules& rules_;
    Clock::time_point start_;
    IterationObserver& observer_;
    T* best_;
};

template <class T>
Minimization minimize_from(const NetworkView& net, const Batch<T>& data, const Penalty<T>* penalty,
                           Method method, const MethodOptions& options, const StoppingRules& rules,
                           LbfgsMemory<T>& memory, T* w, IterationObserver& observer,
                           Clock::time_point start) {
    TimedInterrupt interrupt(observer.interrupt(), start, rules.seconds);
    Objective<T> objective(net, data, 1, penalty, &interrupt);
    Watch<T> watch(rules, start, observer, w);
    try {
        Point<T> at(net.n_weights);
        std::copy_n(w, net.n_weights, at.w.begin());
        objective.evaluate(at);
        run(method, options, objective, at, memory, watch);
    } catch (const Interrupted&) {
        watch.end(interrupt.time_is_over() ? Ending::time : Ending::interrupted);
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
    const auto weights = static_cast<double>(n);
    const double vectors = 10 + (method == Method::lbfgs ? 2 * static_cast<double>(pairs) : 0);
    const double matrices = method == Method::lm ? 2 : method == Method::bfgs ? 1 : 0;
    return (vectors + matrices * weights) * weights;
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
    fit_members(ensemble.size, interrupt, [&](index s, Interrupt& own) {
        Silent observer(own);
        const auto at = static_cast<std::size_t>(s);
        reports[at] =
            minimize_from(ensemble.net, ensemble.samples_of(s), penalty, method, options, rules,
                          memories[at], w + s * ensemble.net.n_weights, observer, start);
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
