#include "penalties.hpp"

#include <pybind11/numpy.h>

namespace mlpcore::bindings {

namespace {

// A regularizer that Python computes.
template <class T> class PythonPenalty final : public Penalty<T> {
  public:
    PythonPenalty(py::handle computer, index n, FitInterrupt& interrupt)
        : computer_(py::reinterpret_borrow<py::object>(computer)), n_(n), interrupt_(interrupt) {}

    bool is_of_caller() const override { return true; }

    double value(const T* w) const override {
        double result = 0;
        interrupt_.call([&] { result = py::cast<double>(computer_.attr("value")(copy(w))); });
        return result;
    }
    double add_gradient(const T* w, double factor, T* g) const override {
        double result = 0;
        interrupt_.call([&] {
            const py::array_t<T> at = copy(w);
            result = py::cast<double>(computer_.attr("value")(at));
            add("gradient", factor, g, at);
        });
        return result;
    }
    void add_product(const T* w, const T* v, double factor, T* product) const override {
        interrupt_.call([&] { add("hessian_vector_product", factor, product, copy(w), copy(v)); });
    }
    void add_diagonal(const T* w, double factor, T* diagonal) const override {
        interrupt_.call([&] { add("hessian_diagonal", factor, diagonal, copy(w)); });
    }

  private:
    py::array_t<T> copy(const T* x) const { return py::array_t<T>(n_, x); }
    template <class... Arrays>
    void add(const char* method, double factor, T* sum, const Arrays&... arguments) const {
        const std::string name = std::string("the regularizer's ") + method;
        const auto array = as_array<T>(name.c_str(), computer_.attr(method)(arguments...));
        if (array.ndim() != 1 || array.size() != n_) {
            throw py::value_error(name + " has shape " + shape_of(array) + ", expected (" +
                                  std::to_string(n_) + ",)");
        }
        kernels<T>().axpy(n_, static_cast<T>(factor), array.data(), sum);
    }

    py::object computer_;
    index n_;
    FitInterrupt& interrupt_;
};

// alpha += weight_decay, a number or (W,).
template <class T> void add_weight_decay(py::handle weight_decay, index n, std::vector<T>& alpha) {
    const auto given = as_array<T>("weight_decay", weight_decay);
    if (given.ndim() > 1 || (given.ndim() == 1 && given.size() != n)) {
        throw py::value_error("weight_decay has shape " + shape_of(given) +
                              ", expected a number or (" + std::to_string(n) + ",)");
    }
    for (index i = 0; i < given.size(); ++i) {
        const T value = given.data()[i];
        if (!(value >= 0) || !std::isfinite(value)) {
            const std::string place =
                given.ndim() == 0 ? "weight_decay" : "weight_decay[" + std::to_string(i) + "]";
            throw py::value_error(place + " is " + std::string(py::str(py::float_(value))) +
                                  ", expected a finite number of at least 0");
        }
    }
    if (given.ndim() == 0 && *given.data() == 0) {
        return;
    }
    alpha.resize(static_cast<std::size_t>(n), T(0));
    for (index i = 0; i < n; ++i) {
        T& sum = alpha[static_cast<std::size_t>(i)];
        const T before = sum, more = given.data()[given.ndim() == 0 ? 0 : i];
        sum += more;
        if (!std::isfinite(sum)) { // each of the two is in range
            const double exact = static_cast<double>(before) + static_cast<double>(more);
            throw py::value_error(
                "weight_decay + the regularizer's coefficients[" + std::to_string(i) + "] is " +
                std::string(py::str(py::float_(exact))) + ", which is too large for " +
                std::string(py::str(py::dtype::of<T>())));
        }
    }
}

template <class T> std::vector<T> as_coefficients(py::handle given, index n) {
    const auto array = as_array<T>("the regularizer's coefficients", given);
    if (array.ndim() != 1 || array.size() != n) {
        throw py::value_error("the regularizer's coefficients have shape " + shape_of(array) +
                              ", expected (" + std::to_string(n) + ",)");
    }
    return {array.data(), array.data() + n};
}

} // namespace

template <class T>
std::unique_ptr<Penalty<T>> as_penalty(const Network& net, py::handle weight_decay,
                                       py::handle penalty, FitInterrupt& interrupt) {
    const index n = net.architecture.view().n_weights;
    if (!penalty.is_none() && !py::isinstance<py::tuple>(penalty)) {
        return std::make_unique<PythonPenalty<T>>(penalty, n, interrupt);
    }
    std::vector<T> alpha;
    std::vector<typename SeparablePenalty<T>::Absolute> absolutes;
    if (!penalty.is_none()) {
        const auto parts = py::reinterpret_borrow<py::tuple>(penalty);
        alpha = as_coefficients<T>(parts[0], n);
        for (const py::handle one : py::tuple(parts[1])) {
            const auto pair = py::reinterpret_borrow<py::tuple>(one);
            absolutes.push_back({as_coefficients<T>(pair[0], n), py::cast<double>(pair[1])});
        }
    }
    add_weight_decay(weight_decay, n, alpha);
    auto sum = std::make_unique<SeparablePenalty<T>>(n, std::move(alpha), std::move(absolutes));
    return sum->is_zero() ? nullptr : std::move(sum);
}

template std::unique_ptr<Penalty<double>> as_penalty(const Network&, py::handle, py::handle,
                                                     FitInterrupt&);
template std::unique_ptr<Penalty<float>> as_penalty(const Network&, py::handle, py::handle,
                                                    FitInterrupt&);

} // namespace mlpcore::bindings
