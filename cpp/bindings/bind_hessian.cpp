// The Hessian, whole and by layer: check, borrow, let go of the GIL, compute.
#include "arrays.hpp"
#include "bindings.hpp"
#include "computing.hpp"
#include "mlpcore/derivatives.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_hessian(py::handle out, const Network& net, py::handle w, py::handle x, py::handle t,
                     py::handle sample_weight, const std::string& name) {
    const auto kind = static_cast<HessianKind>(as_choice("kind", hessian_names, name));
    return with_type(net, [&]<class T>(T) -> py::array {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        const index size = all.net.n_weights;
        auto h = result_array<T>("hessian", weights, {size, size}, out,
                                 {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}});
        T* const to = h.mutable_data();
        compute("hessian", all, Quantity::hessian, [&](index s, Interrupt* i) {
            hessian(all.net, all.weights_of(s), all.samples_of(s), kind, to + s * size * size, i);
        });
        return h;
    });
}

py::list py_hessian_blocks(const Network& net, py::handle w, py::handle x, py::handle t,
                           py::handle sample_weight, const std::string& name) {
    const auto kind = static_cast<HessianKind>(as_choice("kind", hessian_names, name));
    return with_type(net, [&]<class T>(T) -> py::list {
        const auto weights = as_weights<T>(net, w);
        const auto samples = as_samples<T>(net, weights, x, t, sample_weight);
        const Ensemble<T> all = as_ensemble(net, weights, samples);
        std::vector<index> sizes;
        double bytes = 0;
        for (index l = 0; l < all.net.depth; ++l) {
            const index size = all.net.layers[l].n_out * (all.net.layers[l].n_in + 1);
            bytes += static_cast<double>(sizeof(T)) * static_cast<double>(all.size) *
                     static_cast<double>(size) * static_cast<double>(size);
            sizes.push_back(size);
        }
        check_memory("hessian_blocks", bytes);
        py::list result;
        std::vector<T*> to;
        for (const index size : sizes) {
            auto block = new_array<T>("a block of hessian_blocks", weights, {size, size});
            to.push_back(block.mutable_data());
            result.append(block);
        }
        compute("hessian_blocks", all, Quantity::hessian, [&](index s, Interrupt* i) {
            std::vector<T*> mine = to;
            for (std::size_t l = 0; l < mine.size(); ++l) {
                mine[l] += s * sizes[l] * sizes[l];
            }
            hessian_blocks(all.net, all.weights_of(s), all.samples_of(s), kind, mine.data(), i);
        });
        return result;
    });
}

} // namespace

void bind_hessian(py::module_& m) {
    const auto net = py::arg("net"), w = py::arg("w"), x = py::arg("X"), t = py::arg("T"),
               weight = py::arg("sample_weight"), kind = py::arg("kind");
    def_with_out<&py_hessian>(m, "hessian", net, w, x, t, weight, kind);
    m.def("hessian_blocks", &py_hessian_blocks, net, w, x, t, weight, kind);
}

} // namespace mlpcore::bindings
