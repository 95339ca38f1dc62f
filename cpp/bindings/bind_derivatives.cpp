// The quantities of a network: check, borrow, let go of the GIL, compute.
#include "arrays.hpp"
#include "bindings.hpp"
#include "computing.hpp"
#include "mlpcore/derivatives.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_forward(py::handle out, const Network& net, py::handle w, py::handle x, bool logits) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index size = all.samples.n * all.net.n_outputs;
        auto y = result_array<T>("forward", weights, {all.samples.n, all.net.n_outputs}, out,
                                 {{"w", w}, {"X", x}});
        T* const to = y.mutable_data();
        compute("forward", all, Quantity::forward, [&](index s, Interrupt* i) {
            forward(all.net, all.weights_of(s), all.samples_of(s), logits, to + s * size, i);
        });
        return y;
    });
}

// A float, or the errors (S,) of an ensemble.
template <class T> py::object as_errors(const Weights<T>& w, const std::vector<double>& errors) {
    if (!w.is_ensemble) {
        return py::float_(errors.front());
    }
    return py::array_t<double>(static_cast<py::ssize_t>(errors.size()), errors.data());
}

py::object py_error(const Network& net, py::handle w, py::handle x, py::handle t,
                    py::handle sample_weight) {
    return with_type(net, [&]<class T>(T) {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        std::vector<double> errors(static_cast<std::size_t>(all.size));
        compute("error", all, Quantity::error, [&](index s, Interrupt* i) {
            errors[static_cast<std::size_t>(s)] =
                error(all.net, all.weights_of(s), all.samples_of(s), i);
        });
        return as_errors(weights, errors);
    });
}

std::pair<py::object, py::array> errors_and_gradients(py::handle out, const Network& net,
                                                      py::handle w, py::handle x, py::handle t,
                                                      py::handle sample_weight) {
    return with_type(net, [&]<class T>(T) -> std::pair<py::object, py::array> {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        std::vector<double> errors(static_cast<std::size_t>(all.size));
        auto g = result_array<T>("gradient", weights, {all.net.n_weights}, out,
                                 {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}});
        T* const to = g.mutable_data();
        compute("gradient", all, Quantity::gradient, [&](index s, Interrupt* i) {
            errors[static_cast<std::size_t>(s)] = gradient(
                all.net, all.weights_of(s), all.samples_of(s), to + s * all.net.n_weights, i);
        });
        return {as_errors(weights, errors), std::move(g)};
    });
}

py::tuple py_error_and_gradient(py::handle out, const Network& net, py::handle w, py::handle x,
                                py::handle t, py::handle sample_weight) {
    auto [errors, gradients] = errors_and_gradients(out, net, w, x, t, sample_weight);
    return py::make_tuple(errors, gradients);
}

py::array py_gradient(py::handle out, const Network& net, py::handle w, py::handle x, py::handle t,
                      py::handle sample_weight) {
    return errors_and_gradients(out, net, w, x, t, sample_weight).second;
}

py::array py_jacobian(py::handle out, const Network& net, py::handle w, py::handle x) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, k = all.net.n_outputs, d = all.net.n_inputs;
        auto j = result_array<T>("jacobian", weights, {n, k, d}, out, {{"w", w}, {"X", x}});
        T* const to = j.mutable_data();
        compute("jacobian", all, Quantity::jacobian, [&](index s, Interrupt* i) {
            jacobian(all.net, all.weights_of(s), all.samples_of(s), to + s * n * k * d, i);
        });
        return j;
    });
}

py::array py_weight_jacobian(py::handle out, const Network& net, py::handle w, py::handle x) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, k = all.net.n_outputs;
        auto j = result_array<T>("weight_jacobian", weights, {n, k, all.net.n_weights}, out,
                                 {{"w", w}, {"X", x}});
        T* const to = j.mutable_data();
        compute("weight_jacobian", all, Quantity::weight_jacobian, [&](index s, Interrupt* i) {
            weight_jacobian(all.net, all.weights_of(s), all.samples_of(s),
                            to + s * n * k * all.net.n_weights, i);
        });
        return j;
    });
}

py::array py_per_sample_gradient(py::handle out, const Network& net, py::handle w, py::handle x,
                                 py::handle t) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, py::none());
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n;
        auto g = result_array<T>("per_sample_gradient", weights, {n, all.net.n_weights}, out,
                                 {{"w", w}, {"X", x}, {"T", t}});
        T* const to = g.mutable_data();
        compute("per_sample_gradient", all, Quantity::per_sample_gradient,
                [&](index s, Interrupt* i) {
                    per_sample_gradient(all.net, all.weights_of(s), all.samples_of(s),
                                        to + s * n * all.net.n_weights, i);
                });
        return g;
    });
}

py::array py_hessian_diagonal(py::handle out, const Network& net, py::handle w, py::handle x,
                              py::handle t, py::handle sample_weight, const std::string& kind) {
    const auto curvature = static_cast<Curvature>(as_choice("kind", curvature_names, kind));
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        auto d = result_array<T>("hessian_diagonal", weights, {all.net.n_weights}, out,
                                 {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}});
        T* const to = d.mutable_data();
        compute("hessian_diagonal", all, Quantity::hessian_diagonal, [&](index s, Interrupt* i) {
            hessian_diagonal(all.net, all.weights_of(s), all.samples_of(s), curvature,
                             to + s * all.net.n_weights, i);
        });
        return d;
    });
}

} // namespace

void bind_derivatives(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight");
    def_with_out<&py_forward>(m, "forward", net, w, x, py::arg("logits"));
    m.def("error", &py_error, net, w, x, t, weight);
    def_with_out<&py_gradient>(m, "gradient", net, w, x, t, weight);
    def_with_out<&py_error_and_gradient>(m, "error_and_gradient", net, w, x, t, weight);
    def_with_out<&py_jacobian>(m, "jacobian", net, w, x);
    def_with_out<&py_weight_jacobian>(m, "weight_jacobian", net, w, x);
    def_with_out<&py_per_sample_gradient>(m, "per_sample_gradient", net, w, x, t);
    def_with_out<&py_hessian_diagonal>(m, "hessian_diagonal", net, w, x, t, weight,
                                       py::arg("kind"));
}

} // namespace mlpcore::bindings
