// The Hessian, whole and by layer.
#include "bindings.hpp"
#include "computing.hpp"

namespace mlpcore::bindings {

namespace {

py::array py_hessian(const Network& net, py::handle w, py::handle x, py::handle t,
                     py::handle sample_weight, const std::string& name, py::handle out) {
    const auto kind = static_cast<HessianKind>(as_choice("kind", hessian_names, name));
    return with_type(net, [&]<class T>(T) {
        const Given<T> given(net, w, x, t, sample_weight);
        return given.result("hessian", Quantity::hessian, {given.n_weights, given.n_weights}, out,
                            {{"w", w}, {"X", x}, {"T", t}, {"sample_weight", sample_weight}},
                            [&](const auto& one, T* h, Interrupt* i) {
                                hessian(one.net, one.w, one.samples, kind, h, i);
                            });
    });
}

py::list py_hessian_blocks(const Network& net, py::handle w, py::handle x, py::handle t,
                           py::handle sample_weight, const std::string& name) {
    const auto kind = static_cast<HessianKind>(as_choice("kind", hessian_names, name));
    return with_type(net, [&]<class T>(T) -> py::list {
        const Given<T> given(net, w, x, t, sample_weight);
        const Ensemble<T>& all = given.all;
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
            auto block = new_array<T>("a block of hessian_blocks", given.weights, {size, size});
            to.push_back(block.mutable_data());
            result.append(block);
        }
        compute("hessian_blocks", all, Quantity::hessian, 1, [&](index s, Interrupt* i) {
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
    m.def("hessian", &py_hessian, net, w, x, t, weight, kind, py::arg("out"));
    m.def("hessian_blocks", &py_hessian_blocks, net, w, x, t, weight, kind);
}

} // namespace mlpcore::bindings
