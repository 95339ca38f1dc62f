#include "optim/train.hpp"

#include "optim/session.hpp"

namespace mlpcore {

template <class T>
History train(const NetworkView& net, const Batch<T>& training, const Batch<T>& validation,
              const Settings& settings, T* w, Observer& observer) {
    TrainingSession<T> session(net, training, validation, settings, w, observer);
    std::vector<T> weights(w, w + net.n_weights);
    try {
        switch (settings.optimizer) {
        case Optimizer::adam:
            run_adam(session, weights.data());
            break;
        case Optimizer::sgd:
            run_sgd(session, weights.data());
            break;
        case Optimizer::lbfgs:
            run_lbfgs(session, weights.data());
            break;
        }
    } catch (const Interrupted&) {
        session.stop(Stop::interrupted);
    }
    std::copy_n(session.best_weights().begin(), net.n_weights, w);
    return std::move(session.history);
}

template History train(const NetworkView&, const Batch<double>&, const Batch<double>&,
                       const Settings&, double*, Observer&);
template History train(const NetworkView&, const Batch<float>&, const Batch<float>&,
                       const Settings&, float*, Observer&);

} // namespace mlpcore
