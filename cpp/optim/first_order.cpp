// Gradient descent with momentum and Adam: an epoch goes once through the samples, in batches.
#include <cmath>
#include <numeric>

#include "optim/random.hpp"
#include "optim/session.hpp"

namespace mlpcore {

namespace {

// `step(g, w)` changes w by one step along the gradient g.
template <class T, class Step> void run_epochs(TrainingSession<T>& session, T* w,
                                               const Step& step) {
    const index n = session.training.n;
    const index batch_size = session.settings.batch_size > 0 ? session.settings.batch_size : n;
    std::vector<T> g(static_cast<std::size_t>(session.net.n_weights));

    if (batch_size >= n) {
        // The gradient that an epoch ends with is the one that the next begins with.
        while (!session.record(session.mean_gradient(w, g.data()), w)) {
            step(g.data(), w);
        }
        return;
    }

    Random random(session.settings.seed);
    std::vector<index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), index{0});
    Batch<T> batch = session.training;
    double mean_error = session.mean_error(w);
    while (!session.record(mean_error, w)) {
        random.shuffle(order);
        double sum = 0, total = 0;
        for (index first = 0; first < n; first += batch_size) {
            batch.rows = order.data() + first;
            batch.n = std::min(batch_size, n - first);
            const double weight = total_weight(batch);
            if (weight > 0) {
                sum += weight * session.mean_gradient(w, batch, 1 / weight, g.data());
                total += weight;
                step(g.data(), w);
            }
        }
        mean_error = sum / total;
    }
}

} // namespace

template <class T> void run_sgd(TrainingSession<T>& session, T* w) {
    const index n = session.net.n_weights;
    std::vector<T> velocity(static_cast<std::size_t>(n), T(0));
    run_epochs(session, w, [&](const T* g, T* weights) {
        kernels<T>().momentum_step(n, static_cast<T>(session.settings.learning_rate),
                                   static_cast<T>(session.settings.momentum), g, velocity.data(),
                                   weights);
    });
}

template <class T> void run_adam(TrainingSession<T>& session, T* w) {
    const index n = session.net.n_weights;
    std::vector<T> mean(static_cast<std::size_t>(n), T(0));
    std::vector<T> mean_square(static_cast<std::size_t>(n), T(0));
    constexpr double beta1 = 0.9, beta2 = 0.999;
    double power1 = 1, power2 = 1;
    run_epochs(session, w, [&](const T* g, T* weights) {
        power1 *= beta1;
        power2 *= beta2;
        const AdamStep<T> constants{.learning_rate = static_cast<T>(session.settings.learning_rate),
                                    .beta1 = T(beta1),
                                    .beta2 = T(beta2),
                                    .epsilon = T(1e-8),
                                    .bias1 = static_cast<T>(1 - power1),
                                    .bias2 = static_cast<T>(1 - power2)};
        kernels<T>().adam_step(n, constants, g, mean.data(), mean_square.data(), weights);
    });
}

template void run_sgd(TrainingSession<double>&, double*);
template void run_sgd(TrainingSession<float>&, float*);
template void run_adam(TrainingSession<double>&, double*);
template void run_adam(TrainingSession<float>&, float*);

} // namespace mlpcore
