// Products of a network's derivatives with vectors, without the derivatives themselves.
#include "arrays.hpp"
#include "bindings.hpp"
#include "mlpcore/derivatives.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_hessian_vector_product(const Network& net, py::handle w, py::handle v, py::handle x,
                                    py::handle t, py::handle sample_weight,
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
        check_memory("the working memory of hessian_vector_product",
                     scratch_bytes<T>(all.net, quantity, all.samples.n));
        std::vector<py::ssize_t> shape{all.net.n_weights};
        if (directions.is_block) {
            shape.insert(shape.begin(), m);
        }
        auto product = new_array<T>("hessian_vector_product", weights, shape);
        T* const to = product.mutable_data();
        const T* const from = directions.array.data();
        without_gil([&](Interrupt* interrupt) {
            for_each_network(all, quantity, interrupt, [&](index s, Interrupt* i) {
                hessian_vector_product(all.net, all.weights_of(s), from + s * size, m,
                                       all.samples_of(s), product_kind, to + s * size, i);
            });
        });
        return product;
    });
}

} // namespace

void bind_products(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight"), v = py::arg("v");
    m.def("hessian_vector_product", &py_hessian_vector_product, net, w, v, x, t, weight,
          py::arg("kind"));
}

} // namespace mlpcore::bindings
