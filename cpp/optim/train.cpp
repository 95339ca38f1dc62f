#include "optim/train.hpp"

#include "optim/members.hpp"
#include "optim/methods.hpp"
#include "optim/session.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

// L-BFGS of optim/lbfgs.cpp as an optimizer of train: on the mean objective, an iteration an epoch.
template <class T> class Epochs : public Course<T> {
  public:
    explicit Epochs(TrainingSession<T>& session) : session_(session) {}

    bool ended(const Point<T>& point) override {
        constexpr double tolerance = sizeof(T) == 8 ? 1e-9 : 1e-5;
        return session_.record(point.error, point.value, point.w.data()) ||
               (largest(point.g) <= tolerance && session_.stop(Stop::converged));
    }
    void exhausted() override { session_.stop(Stop::converged); }

  private:
    TrainingSession<T>& session_;
};

template <class T> void train_by_lbfgs(TrainingSession<T>& session, const T* w) {
    constexpr index pairs = 10;
    const index n = session.net.n_weights;
    const std::vector<T> alpha(static_cast<std::size_t>(n),
                               static_cast<T>(session.settings.weight_decay));
    Objective<T> objective(session.net, session.training, session.scale(), alpha.data(),
                           session.interrupt());
    Point<T> at(n);
    std::copy_n(w, n, at.w.begin());
    objective.evaluate(at);
    LbfgsMemory<T> memory(n, pairs);
    Epochs<T> course(session);
    run_lbfgs(objective, at, memory, course);
}

} // namespace

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
            train_by_lbfgs(session, weights.data());
            break;
        }
    } catch (const Interrupted&) {
        session.stop(Stop::interrupted);
    }
    std::copy_n(session.best_weights().begin(), net.n_weights, w);
    return std::move(session.history);
}

namespace {

// A network of an ensemble has nobody to report to.
class MemberObserver : public Observer {
  public:
    explicit MemberObserver(Interrupt& interrupt) : interrupt_(interrupt) {}
    Interrupt& interrupt() override { return interrupt_; }
    bool epoch_ended(const History&, const void*) override { return false; }

  private:
    Interrupt& interrupt_;
};

} // namespace

template <class T>
std::vector<History> train(const Ensemble<T>& training, const Ensemble<T>& validation,
                           const Settings& settings, T* w, Interrupt& interrupt) {
    History undone;
    undone.stop = Stop::interrupted;
    std::vector<History> histories(static_cast<std::size_t>(training.size), undone);
    fit_members(training.size, interrupt, [&](index s, Interrupt& member) {
        MemberObserver observer(member);
        Settings own = settings;
        own.seed += static_cast<std::uint64_t>(s);
        histories[static_cast<std::size_t>(s)] =
            train(training.net, training.samples_of(s), validation.samples_of(s), own,
                  w + s * training.net.n_weights, observer);
    });
    return histories;
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template std::vector<History> train(const Ensemble<T>&, const Ensemble<T>&, const Settings&,   \
                                        T*, Interrupt&);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

template History train(const NetworkView&, const Batch<double>&, const Batch<double>&,
                       const Settings&, double*, Observer&);
template History train(const NetworkView&, const Batch<float>&, const Batch<float>&,
                       const Settings&, float*, Observer&);

} // namespace mlpcore
