// The quantities of a network.
#include "bindings.hpp"
#include "computing.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_forward(const Network& net, py::handle w, py::handle x, bool logits, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        return given.result("forward", Quantity::forward, {given.n, given.k}, out,
                            {{"w", w}, {"X", x}}, [&](const auto& one, T* y, Interrupt* i) {
                                forward(one.net, one.w, one.samples, logits, y, i);
                            });
    });
}

// A float, or the errors (S,) of an ensemble.
template <class T> py::object as_errors(const Weights<T>& w, const std::vector<double>& errors) {
    if (!w.is_ensemble) {
        return py::float_(errors.front());
    }
    return to_array(errors);
}

py::object py_error(const Network& net, py::handle w, py::handle x, py::handle t,
                    py::handle sample_weight) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        const Ensemble<T>& all = given.all;
        std::vector<double> errors(static_cast<std::size_t>(all.size));
        compute("error", all, Quantity::error, 1, [&](index s, Interrupt* i) {
            errors[static_cast<std::size_t>(s)] =
                error(all.net, all.weights_of(s), all.samples_of(s), i);
        });
        return as_errors(given.weights, errors);
    });
}

py::array py_gradient(const Network& net, py::handle w, py::handle x, py::handle t,
                      py::handle sample_weight, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        return given.result("gradient", Quantity::gradient, {given.n_weights}, out,
                            {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}},
                            [](const auto& one, T* g, Interrupt* i) {
                                gradient(one.net, one.w, one.samples, g, i);
                            });
    });
}

py::tuple py_error_and_gradient(const Network& net, py::handle w, py::handle x, py::handle t,
                                py::handle sample_weight, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        std::vector<double> errors(static_cast<std::size_t>(given.all.size));
        const py::array gradients =
            given.result("gradient", Quantity::gradient, {given.n_weights}, out,
                         {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}},
                         [&](const auto& one, T* g, Interrupt* i) {
                             errors[static_cast<std::size_t>(one.s)] =
                                 gradient(one.net, one.w, one.samples, g, i);
                         });
        return py::make_tuple(as_errors(given.weights, errors), gradients);
    });
}

py::array py_jacobian(const Network& net, py::handle w, py::handle x, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        return given.result("jacobian", Quantity::jacobian, {given.n, given.k, given.d}, out,
                            {{"w", w}, {"X", x}}, [](const auto& one, T* j, Interrupt* i) {
                                jacobian(one.net, one.w, one.samples, j, i);
                            });
    });
}

py::array py_weight_jacobian(const Network& net, py::handle w, py::handle x, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        return given.result("weight_jacobian", Quantity::weight_jacobian,
                            {given.n, given.k, given.n_weights}, out, {{"w", w}, {"X", x}},
                            [](const auto& one, T* j, Interrupt* i) {
                                weight_jacobian(one.net, one.w, one.samples, j, i);
                            });
    });
}

py::array py_per_sample_gradient(const Network& net, py::handle w, py::handle x, py::handle t,
                                 py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, py::none());
        return given.result("per_sample_gradient", Quantity::per_sample_gradient,
                            {given.n, given.n_weights}, out, {{"w", w}, {"X", x}, {"T", t}},
                            [](const auto& one, T* g, Interrupt* i) {
                                per_sample_gradient(one.net, one.w, one.samples, g, i);
                            });
    });
}

py::array py_hessian_diagonal(const Network& net, py::handle w, py::handle x, py::handle t,
                              py::handle sample_weight, const std::string& kind, py::handle out) {
    const auto curvature = static_cast<Curvature>(as_choice("kind", curvature_names, kind));
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        return given.result("hessian_diagonal", Quantity::hessian_diagonal, {given.n_weights}, out,
                            {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}},
                            [&](const auto& one, T* d, Interrupt* i) {
                                hessian_diagonal(one.net, one.w, one.samples, curvature, d, i);
                            });
    });
}

} // namespace

void bind_derivatives(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight"), out = py::arg("out");
    m.def("forward", &py_forward, net, w, x, py::arg("logits"), out);
    m.def("error", &py_error, net, w, x, t, weight);
    m.def("gradient", &py_gradient, net, w, x, t, weight, out);
    m.def("error_and_gradient", &py_error_and_gradient, net, w, x, t, weight, out);
    m.def("jacobian", &py_jacobian, net, w, x, out);
    m.def("weight_jacobian", &py_weight_jacobian, net, w, x, out);
    m.def("per_sample_gradient", &py_per_sample_gradient, net, w, x, t, out);
    m.def("hessian_diagonal", &py_hessian_diagonal, net, w, x, t, weight, py::arg("kind"), out);
}

} // namespace mlpcore::bindings
