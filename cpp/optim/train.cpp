#include "optim/train.hpp"

#include "optim/members.hpp"
#include "optim/methods.hpp"
#include "optim/session.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

// A method of minimize as an optimizer of train: on the mean objective, an iteration an epoch.
template <class T> class Epochs : public Course<T> {
  public:
    Epochs(TrainingSession<T>& session, const Objective<T>& objective)
        : session_(session), objective_(objective) {}

    bool begun(const Point<T>& point, State state) override {
        const double scale = objective_.shares.of_others();
        return !session_.is_taken_up([scale, state = std::move(state)](Archive& a) {
            a.same("weight_scale", scale); // the state is in v
            state(a);
        }) && ended(point);
    }
    bool ended(const Point<T>& point) override {
        constexpr double tolerance = sizeof(T) == 8 ? 1e-9 : 1e-5;
        const Typical<T>& typical = objective_.typical;
        return session_.record(point.error, point.value, objective_.shares.in_w(point.v, room_),
                               relative_gradient(point.g, point.v, typical.w) <=
                                   tolerance * typical.error);
    }
    void exhausted() override { session_.end(Stop::converged); }

  private:
    TrainingSession<T>& session_;
    const Objective<T>& objective_;
    std::vector<T> room_;
};

template <class T> void run_minimizer(TrainingSession<T>& session) {
    const index n = session.net.n_weights;
    const Settings& settings = session.settings;
    Objective<T> objective(session.net, session.training, session.scale(), session.penalty,
                           session.interrupt());
    Point<T> at(n);
    at.v = session.first_weights();
    objective.shares.divide(at.v.data());
    objective.evaluate(at);
    LbfgsMemory<T> memory(n, settings.method == Method::lbfgs ? pairs_in_training : 1);
    Epochs<T> course(session, objective);
    run(settings.method, settings.options, objective, at, memory, course);
}

} // namespace

template <class T>
History train(const NetworkView& net, const Batch<T>& training, const Batch<T>& validation,
              const Penalty<T>* penalty, const Settings& settings, Archive* from, T* w,
              Observer& observer) {
    TrainingSession<T> session(net, training, validation, penalty, settings, from, w, observer);
    try {
        if (session.is_over()) {
            // What it had ended with is all there is.
        } else if (settings.optimizer == Optimizer::minimizer) {
            run_minimizer(session);
        } else {
            std::vector<T> weights = session.first_weights();
            run_first_order(session, weights.data());
        }
    } catch (const Interrupted&) {
        session.break_off();
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
    std::optional<Stop> epoch_ended(const History&, const void*) override { return {}; }

  private:
    Interrupt& interrupt_;
};

} // namespace

template <class T>
std::vector<History> train(const Ensemble<T>& training, const Ensemble<T>& validation,
                           const Penalty<T>* penalty, const Settings& settings, T* w,
                           Interrupt& interrupt) {
    History undone;
    undone.stop = Stop::interrupted;
    std::vector<History> histories(static_cast<std::size_t>(training.size), undone);
    fit_members(training.size, penalty, interrupt, [&](index s, Interrupt& member) {
        MemberObserver observer(member);
        Settings own = settings;
        own.seed += static_cast<std::uint64_t>(s);
        History& history = histories[static_cast<std::size_t>(s)];
        history = train(training.net, training.samples_of(s), validation.samples_of(s), penalty,
                        own, nullptr, w + s * training.net.n_weights, observer);
        return history.stop == Stop::interrupted;
    });
    return histories;
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template History train(const NetworkView&, const Batch<T>&, const Batch<T>&,                   \
                           const Penalty<T>*, const Settings&, Archive*, T*, Observer&);           \
    template std::vector<History> train(const Ensemble<T>&, const Ensemble<T>&, const Penalty<T>*, \
                                        const Settings&, T*, Interrupt&);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
