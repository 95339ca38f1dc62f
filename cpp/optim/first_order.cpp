// The optimizers of first order: an epoch goes once through the samples, in batches.
#include <cmath>
#include <numeric>

#include "optim/random.hpp"
#include "optim/session.hpp"

namespace mlpcore {

namespace {

// A rule says how w changes by a step along the gradient g.

// Gradient descent with momentum (Polyak, 1964; PRML 5.41) or Nesterov's (Sutskever et al., 2013,
// with the weights where the gradient is taken):
//
//     v = momentum v - rate g,    w += v,    or w += momentum v - rate g
template <class T> class MomentumRule {
  public:
    MomentumRule(const Settings& settings, index n)
        : momentum_(static_cast<T>(settings.momentum)), nesterov_(settings.nesterov),
          velocity_(static_cast<std::size_t>(n), T(0)) {}

    void visit(Archive& a) { a.fixed("velocity", velocity_); }
    void step(T rate, const T* g, T* w) {
        const index n = static_cast<index>(velocity_.size());
        if (!nesterov_) {
            kernels<T>().momentum_step(n, rate, momentum_, g, velocity_.data(), w);
            return;
        }
        for (index i = 0; i < n; ++i) {
            T& v = velocity_[static_cast<std::size_t>(i)];
            v = momentum_ * v - rate * g[i];
            w[i] += momentum_ * v - rate * g[i];
        }
    }

  private:
    T momentum_;
    bool nesterov_;
    std::vector<T> velocity_;
};

// Adam (Kingma and Ba, 2015, Algorithm 1), and with a `decay` AdamW (Loshchilov and Hutter, 2019,
// Algorithm 2): the weights shrink by themselves, and not by way of the gradient.
template <class T> class AdamRule {
  public:
    AdamRule(const Settings& settings, double scale, index n)
        : decay_(settings.decay * scale), mean_(static_cast<std::size_t>(n), T(0)),
          mean_square_(mean_) {}

    void visit(Archive& a) {
        a.fixed("mean", mean_);
        a.fixed("mean_square", mean_square_);
        a("power1", power1_);
        a("power2", power2_);
    }
    void step(T rate, const T* g, T* w) {
        const index n = static_cast<index>(mean_.size());
        power1_ *= beta1;
        power2_ *= beta2;
        for (index i = 0; decay_ > 0 && i < n; ++i) {
            w[i] *= static_cast<T>(1 - static_cast<double>(rate) * decay_);
        }
        const AdamStep<T> constants{.learning_rate = rate,
                                    .beta1 = T(beta1),
                                    .beta2 = T(beta2),
                                    .epsilon = T(1e-8),
                                    .bias1 = static_cast<T>(1 - power1_),
                                    .bias2 = static_cast<T>(1 - power2_)};
        kernels<T>().adam_step(n, constants, g, mean_.data(), mean_square_.data(), w);
    }

  private:
    static constexpr double beta1 = 0.9, beta2 = 0.999;
    double decay_;
    std::vector<T> mean_, mean_square_;
    double power1_ = 1, power2_ = 1;
};

// Resilient propagation without backtracking (iRprop-: Igel and Huesken, Empirical evaluation of
// the improved Rprop learning algorithms, 2003, after Riedmiller and Braun, 1993): a step for each
// weight of its own, by the signs of its slope now and before. The first step is the rate.
template <class T> class RpropRule {
  public:
    RpropRule(const Settings& settings, index n)
        : shortest_(std::min(T(1e-6), static_cast<T>(settings.learning_rate))),
          longest_(std::max(T(50), static_cast<T>(settings.learning_rate))),
          step_(static_cast<std::size_t>(n), static_cast<T>(settings.learning_rate)),
          before_(step_.size(), T(0)) {}

    void visit(Archive& a) {
        a.fixed("step", step_);
        a.fixed("before", before_);
    }
    void step(T /*rate*/, const T* g, T* w) {
        for (std::size_t i = 0; i < step_.size(); ++i) {
            // Signs and no product, which would underflow.
            const int turn = sign(g[i]) * sign(before_[i]);
            before_[i] = g[i];
            if (turn > 0) {
                step_[i] = std::min(step_[i] * T(1.2), longest_);
            } else if (turn < 0) {
                step_[i] = std::max(step_[i] * T(0.5), shortest_);
                before_[i] = 0;
            }
            w[i] -= before_[i] > 0 ? step_[i] : before_[i] < 0 ? -step_[i] : T(0);
        }
    }

  private:
    static int sign(T x) { return static_cast<int>(x > 0) - static_cast<int>(x < 0); }

    T shortest_, longest_;
    std::vector<T> step_, before_;
};

template <class T, class Rule> void run_epochs(TrainingSession<T>& session, Rule rule, T* w) {
    const index n = session.training.n;
    const index batch_size = session.settings.batch_size > 0 ? session.settings.batch_size : n;
    std::vector<T> g(static_cast<std::size_t>(session.net.n_weights));
    const auto step = [&](double part) {
        rule.step(static_cast<T>(session.learning_rate(part)), g.data(), w);
    };

    if (batch_size >= n) {
        const bool known = session.is_taken_up([&](Archive& a) { rule.visit(a); });
        // The gradient that an epoch ends with is the one that the next begins with.
        double error = session.mean_gradient(w, g.data());
        bool ended = !known && session.record(error, w);
        while (!ended) {
            step(0);
            error = session.mean_gradient(w, g.data());
            ended = session.record(error, w);
        }
        return;
    }

    Random random(session.settings.seed);
    std::vector<index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), index{0});
    Batch<T> batch = session.training;
    const bool known = session.is_taken_up([&](Archive& a) {
        rule.visit(a);
        a.below("order", order, n);
        a("random", random.state());
    });
    bool ended = !known && session.record(session.mean_error(w), w);
    while (!ended) {
        random.shuffle(order);
        double sum = 0, total = 0;
        for (index first = 0; first < n; first += batch_size) {
            batch.rows = order.data() + first;
            batch.n = std::min(batch_size, n - first);
            const double weight = total_weight(batch);
            if (weight > 0) {
                sum += weight * session.mean_gradient(w, batch, 1 / weight, g.data());
                total += weight;
                step(static_cast<double>(first) / static_cast<double>(n));
            }
        }
        ended = session.record(sum / total, w);
    }
}

} // namespace

template <class T> void run_first_order(TrainingSession<T>& session, T* w) {
    const index n = session.net.n_weights;
    const Settings& settings = session.settings;
    switch (settings.optimizer) {
    case Optimizer::adam:
    case Optimizer::adamw:
        return run_epochs(session, AdamRule<T>(settings, session.scale(), n), w);
    case Optimizer::sgd:
        return run_epochs(session, MomentumRule<T>(settings, n), w);
    case Optimizer::rprop:
        return run_epochs(session, RpropRule<T>(settings, n), w);
    case Optimizer::minimizer:
        return;
    }
}

template void run_first_order(TrainingSession<double>&, double*);
template void run_first_order(TrainingSession<float>&, float*);

} // namespace mlpcore
