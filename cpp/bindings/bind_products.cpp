// Products of a network's derivatives with vectors, without the derivatives themselves, and the
// second derivatives of its outputs.
#include "arrays.hpp"
#include "bindings.hpp"
#include "computing.hpp"
#include "mlpcore/derivatives.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_hessian_vector_product(py::handle out, const Network& net, py::handle w, py::handle v,
                                    py::handle x, py::handle t, py::handle sample_weight,
                                    const std::string& kind) {
    const auto product_kind = static_cast<ProductKind>(as_choice("kind", product_kind_names, kind));
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto directions = as_directions<T>(net, weights, v);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index m = directions.count, size = m * all.net.n_weights;
        const Quantity quantity =
            m == 1 ? Quantity::hessian_vector_product : Quantity::hessian_vector_products;
        std::vector<py::ssize_t> shape{all.net.n_weights};
        if (directions.is_block) {
            shape.insert(shape.begin(), m);
        }
        auto product = result_array<T>(
            "hessian_vector_product", weights, shape, out,
            {{"w", w}, {"v", v}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}});
        T* const to = product.mutable_data();
        const T* const from = directions.array.data();
        const index times = (m + directions_at_once - 1) / directions_at_once;
        compute("hessian_vector_product", all, quantity, times, [&](index s, Interrupt* i) {
            hessian_vector_product(all.net, all.weights_of(s), from + s * size, m,
                                   all.samples_of(s), product_kind, to + s * size, i);
        });
        return product;
    });
}

py::array py_output_hessian(py::handle out, const Network& net, py::handle w, py::handle x) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, k = all.net.n_outputs, d = all.net.n_inputs;
        auto h =
            result_array<T>("output_hessian", weights, {n, k, d, d}, out, {{"w", w}, {"X", x}});
        T* const to = h.mutable_data();
        compute("output_hessian", all, Quantity::output_hessian, [&](index s, Interrupt* i) {
            output_hessian(all.net, all.weights_of(s), all.samples_of(s), to + s * n * k * d * d,
                           i);
        });
        return h;
    });
}

py::array py_jvp(py::handle out, const Network& net, py::handle w, py::handle x, py::handle dx) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, k = all.net.n_outputs;
        const auto tangents = as_extra<T>("dX", weights, dx, {n, all.net.n_inputs});
        auto dy = result_array<T>("jvp", weights, {n, k}, out, {{"w", w}, {"X", x}, {"dX", dx}});
        T* const to = dy.mutable_data();
        const T* const from = tangents.array.data();
        compute("jvp", all, Quantity::jvp, [&](index s, Interrupt* i) {
            jvp(all.net, all.weights_of(s), all.samples_of(s), from + s * tangents.step,
                to + s * n * k, i);
        });
        return dy;
    });
}

py::array py_weight_jvp(py::handle out, const Network& net, py::handle w, py::handle x,
                        py::handle v) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_inputs<T>(net, weights, x);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, k = all.net.n_outputs;
        const auto tangent = as_extra<T>("v", weights, v, {all.net.n_weights});
        auto dy =
            result_array<T>("weight_jvp", weights, {n, k}, out, {{"w", w}, {"X", x}, {"v", v}});
        T* const to = dy.mutable_data();
        const T* const from = tangent.array.data();
        compute("weight_jvp", all, Quantity::weight_jvp, [&](index s, Interrupt* i) {
            weight_jvp(all.net, all.weights_of(s), from + s * tangent.step, all.samples_of(s),
                       to + s * n * k, i);
        });
        return dy;
    });
}

// Samples with dY in the place of the targets.
template <class T>
Samples<T> as_adjoints(const Network& net, const Weights<T>& w, py::handle x, py::handle dy) {
    Samples<T> samples = as_inputs<T>(net, w, x);
    const Extra<T> adjoints =
        as_extra<T>("dY", w, dy, {samples.batch.n, net.architecture.view().n_outputs});
    samples.t = adjoints.array;
    samples.batch.t = adjoints.array.data();
    samples.steps.t = adjoints.step;
    return samples;
}

py::array py_vjp(py::handle out, const Network& net, py::handle w, py::handle x, py::handle dy) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_adjoints<T>(net, weights, x, dy);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index n = all.samples.n, d = all.net.n_inputs;
        auto dx = result_array<T>("vjp", weights, {n, d}, out, {{"w", w}, {"X", x}, {"dY", dy}});
        T* const to = dx.mutable_data();
        compute("vjp", all, Quantity::vjp, [&](index s, Interrupt* i) {
            vjp(all.net, all.weights_of(s), all.samples_of(s), to + s * n * d, i);
        });
        return dx;
    });
}

py::array py_weight_vjp(py::handle out, const Network& net, py::handle w, py::handle x,
                        py::handle dy) {
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_adjoints<T>(net, weights, x, dy);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        auto sum = result_array<T>("weight_vjp", weights, {all.net.n_weights}, out,
                                   {{"w", w}, {"X", x}, {"dY", dy}});
        T* const to = sum.mutable_data();
        compute("weight_vjp", all, Quantity::weight_vjp, [&](index s, Interrupt* i) {
            weight_vjp(all.net, all.weights_of(s), all.samples_of(s), to + s * all.net.n_weights,
                       i);
        });
        return sum;
    });
}

} // namespace

void bind_products(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight"), v = py::arg("v");
    def_with_out<&py_hessian_vector_product>(m, "hessian_vector_product", net, w, v, x, t, weight,
                                             py::arg("kind"));
    def_with_out<&py_output_hessian>(m, "output_hessian", net, w, x);
    def_with_out<&py_jvp>(m, "jvp", net, w, x, py::arg("dX"));
    def_with_out<&py_vjp>(m, "vjp", net, w, x, py::arg("dY"));
    def_with_out<&py_weight_jvp>(m, "weight_jvp", net, w, x, v);
    def_with_out<&py_weight_vjp>(m, "weight_vjp", net, w, x, py::arg("dY"));
}

} // namespace mlpcore::bindings
