#include "optim/train.hpp"

#include <atomic>
#include <thread>

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

namespace {

// What a network of an ensemble reports to. Only the calling thread may ask whether to stop; it
// tells the others.
class MemberObserver : public Observer {
  public:
    MemberObserver(Interrupt& of_caller, std::thread::id caller, std::atomic<bool>& stop)
        : interrupt_(of_caller, caller, stop) {}
    Interrupt& interrupt() override { return interrupt_; }
    bool epoch_ended(const History&, const void*) override { return false; }

  private:
    class MemberInterrupt : public Interrupt {
      public:
        MemberInterrupt(Interrupt& of_caller, std::thread::id caller, std::atomic<bool>& stop)
            : of_caller_(of_caller), caller_(caller), stop_(stop) {}

      protected:
        bool ask() override {
            if (std::this_thread::get_id() == caller_ && of_caller_.requested()) {
                stop_.store(true);
            }
            return stop_.load();
        }

      private:
        Interrupt& of_caller_;
        std::thread::id caller_;
        std::atomic<bool>& stop_;
    };
    MemberInterrupt interrupt_;
};

} // namespace

template <class T>
std::vector<History> train(const Ensemble<T>& training, const Ensemble<T>& validation,
                           const Settings& settings, T* w, Interrupt& interrupt) {
    History undone;
    undone.stop = Stop::interrupted;
    std::vector<History> histories(static_cast<std::size_t>(training.size), undone);
    std::atomic<bool> stop{false};
    const std::thread::id caller = std::this_thread::get_id();
    const auto fit = [&](index s) {
        MemberObserver observer(interrupt, caller, stop);
        Settings own = settings;
        own.seed += static_cast<std::uint64_t>(s);
        histories[static_cast<std::size_t>(s)] =
            train(training.net, training.samples_of(s), validation.samples_of(s), own,
                  w + s * training.net.n_weights, observer);
    };
    try {
        // An epoch is worth a thread, even where a pass is not.
        parallel_for(training.size, max_threads(), &interrupt, fit);
    } catch (const Interrupted&) {
        stop.store(true); // the histories tell who was interrupted
    }
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
