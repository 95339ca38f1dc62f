// Products of a network's derivatives with vectors, without the derivatives themselves, and the
// second derivatives of its outputs.
#include "bindings.hpp"
#include "computing.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_hessian_vector_product(const Network& net, py::handle w, py::handle v, py::handle x,
                                    py::handle t, py::handle sample_weight, const std::string& kind,
                                    py::handle out) {
    const auto product_kind = static_cast<ProductKind>(as_choice("kind", product_kind_names, kind));
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        const auto directions = as_directions<T>(net, given.weights, v);
        const index m = directions.count, size = m * given.n_weights;
        std::vector<py::ssize_t> shape{given.n_weights};
        if (directions.is_block) {
            shape.insert(shape.begin(), m);
        }
        const T* const from = directions.array.data();
        return given.result(
            "hessian_vector_product",
            m == 1 ? Quantity::hessian_vector_product : Quantity::hessian_vector_products,
            std::move(shape), out,
            {{"w", w}, {"v", v}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}},
            [&](const auto& one, T* product, Interrupt* i) {
                hessian_vector_product(one.net, one.w, from + one.s * size, m, one.samples,
                                       product_kind, product, i);
            },
            (m + directions_at_once - 1) / directions_at_once);
    });
}

py::array py_output_hessian(const Network& net, py::handle w, py::handle x, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        return given.result("output_hessian", Quantity::output_hessian,
                            {given.n, given.k, given.d, given.d}, out, {{"w", w}, {"X", x}},
                            [](const auto& one, T* h, Interrupt* i) {
                                output_hessian(one.net, one.w, one.samples, h, i);
                            });
    });
}

py::array py_jvp(const Network& net, py::handle w, py::handle x, py::handle dx, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        const auto tangents = as_extra<T>("dX", given.weights, dx, {given.n, given.d});
        return given.result("jvp", Quantity::jvp, {given.n, given.k}, out,
                            {{"w", w}, {"X", x}, {"dX", dx}},
                            [&](const auto& one, T* dy, Interrupt* i) {
                                jvp(one.net, one.w, one.samples, tangents.of(one.s), dy, i);
                            });
    });
}

py::array py_weight_jvp(const Network& net, py::handle w, py::handle x, py::handle v,
                        py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        const auto tangent = as_extra<T>("v", given.weights, v, {given.n_weights});
        return given.result("weight_jvp", Quantity::weight_jvp, {given.n, given.k}, out,
                            {{"w", w}, {"X", x}, {"v", v}},
                            [&](const auto& one, T* dy, Interrupt* i) {
                                weight_jvp(one.net, one.w, tangent.of(one.s), one.samples, dy, i);
                            });
    });
}

// The samples with dY in the place of the targets.
template <class T> Batch<T> with_adjoints(const Member<T>& one, const Extra<T>& adjoints) {
    Batch<T> samples = one.samples;
    samples.t = adjoints.of(one.s);
    return samples;
}

py::array py_vjp(const Network& net, py::handle w, py::handle x, py::handle dy, py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        const auto adjoints = as_extra<T>("dY", given.weights, dy, {given.n, given.k});
        return given.result("vjp", Quantity::vjp, {given.n, given.d}, out,
                            {{"w", w}, {"X", x}, {"dY", dy}},
                            [&](const auto& one, T* dx, Interrupt* i) {
                                vjp(one.net, one.w, with_adjoints(one, adjoints), dx, i);
                            });
    });
}

py::array py_weight_vjp(const Network& net, py::handle w, py::handle x, py::handle dy,
                        py::handle out) {
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x);
        const auto adjoints = as_extra<T>("dY", given.weights, dy, {given.n, given.k});
        return given.result("weight_vjp", Quantity::weight_vjp, {given.n_weights}, out,
                            {{"w", w}, {"X", x}, {"dY", dy}},
                            [&](const auto& one, T* sum, Interrupt* i) {
                                weight_vjp(one.net, one.w, with_adjoints(one, adjoints), sum, i);
                            });
    });
}

} // namespace

void bind_products(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight"), v = py::arg("v"), out = py::arg("out");
    m.def("hessian_vector_product", &py_hessian_vector_product, net, w, v, x, t, weight,
          py::arg("kind"), out);
    m.def("output_hessian", &py_output_hessian, net, w, x, out);
    m.def("jvp", &py_jvp, net, w, x, py::arg("dX"), out);
    m.def("vjp", &py_vjp, net, w, x, py::arg("dY"), out);
    m.def("weight_jvp", &py_weight_jvp, net, w, x, v, out);
    m.def("weight_vjp", &py_weight_vjp, net, w, x, py::arg("dY"), out);
}

} // namespace mlpcore::bindings
