#include "gradient_by_blocks.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "mlpcore/derivatives.hpp"
#include "mlpcore/parallel.hpp"
#include "mlpcore/workspace.hpp"
#include "useful_threads.hpp"

namespace mlpcore {

namespace {

constexpr index most_samples = 256, fewest_weights = 8192;
constexpr index most_numbers = 1 << 20; // in the states of all tiles

struct Tiling {
    index size; // samples of a tile; the last one may have fewer
    index count;
    index state; // numbers
};

template <class T> Tiling make_tiling(const NetworkView& net, index n) {
    // Two tiles at least and more where there are many samples, but none so short that products
    // don't keep their accumulators busy.
    constexpr index fewest_vectors = 4, most_vectors = 8, longest = 64;
    const index lanes = kernels<T>().lanes;
    const index most = std::clamp((n / 2 + lanes - 1) / lanes, fewest_vectors,
                                  std::clamp(longest / lanes, fewest_vectors, most_vectors));
    const index tiles = (n + most * lanes - 1) / (most * lanes);
    const index size = ((n + tiles - 1) / tiles + lanes - 1) / lanes * lanes;
    constexpr index line = 16; // numbers, at least those of a cache line
    const index numbers = kernels<T>().scratch_size(net, Quantity::gradient, size);
    return {
        .size = size, .count = (n + size - 1) / size, .state = (numbers + line - 1) / line * line};
}

// Cut along the longer side of a layer, so that what the blocks share is short.
std::vector<WeightBlock> cut(const NetworkView& net) {
    constexpr index blocks_wanted = 32, smallest = 2048;
    constexpr index whole_inputs = 64, whole_units = 24; // so many fill blocks of registers
    const index wanted = std::max(net.n_weights / blocks_wanted, smallest);
    std::vector<WeightBlock> blocks;
    for (index layer = 0; layer < net.depth; ++layer) {
        const Layer& l = net.layers[layer];
        const bool by_input = l.n_in > l.n_out;
        const index length = by_input ? l.n_in : l.n_out, other = by_input ? l.n_out : l.n_in;
        const index whole = by_input ? whole_inputs : whole_units;
        const index step = (std::max(wanted / other, index{1}) + whole - 1) / whole * whole;
        for (index i = 0; i < length; i += step) {
            const index end = std::min(i + step, length);
            blocks.push_back(by_input ? WeightBlock{layer, 0, l.n_out, i, end}
                                      : WeightBlock{layer, i, end, 0, l.n_in});
        }
    }
    return blocks;
}

} // namespace

template <class T> bool suits_blocks(const NetworkView& net, index n) {
    if (n < 1 || n > most_samples || net.n_weights < fewest_weights) {
        return false;
    }
    const Tiling tiling = make_tiling<T>(net, n);
    return tiling.count * tiling.state <= most_numbers;
}

template <class T>
double gradient_by_blocks(const NetworkView& net, const T* w, const Batch<T>& data, T* gradient,
                          Interrupt* interrupt) {
    const Kernels<T>& k = kernels<T>();
    const Tiling tiling = make_tiling<T>(net, data.n);
    const int threads = useful_threads<T>(cost(net, Quantity::gradient, data.n));
    HeldWorkspace<Holding::tiles> memory;
    T* const states = memory.take<T>(tiling.count * tiling.state);

    std::array<double, most_samples> errors{};
    parallel_for(tiling.count, threads, interrupt, [&](index t) {
        const index first = t * tiling.size, n = std::min(tiling.size, data.n - first);
        errors[static_cast<std::size_t>(t)] =
            k.gradient_begin(net, w, slice(net, data, first, n), states + t * tiling.state);
    });
    const std::vector<WeightBlock> blocks = cut(net);
    const index whole = data.n / tiling.size, rest = data.n % tiling.size;
    parallel_for(static_cast<index>(blocks.size()), threads, interrupt, [&](index i) {
        const WeightBlock& block = blocks[static_cast<std::size_t>(i)];
        T* const scratch = Workspace::of_pass().take<T>(tiling.state);
        const Sum<T> sum{gradient, false};
        if (whole > 0) {
            k.gradient_put(net, block, tiling.size, whole, states, tiling.state, sum, scratch);
        }
        if (rest > 0) {
            k.gradient_put(net, block, rest, 1, states + whole * tiling.state, tiling.state,
                           sum.after(whole), scratch);
        }
    });
    double error = 0;
    for (index t = 0; t < tiling.count; ++t) {
        error += errors[static_cast<std::size_t>(t)];
    }
    return error;
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template bool suits_blocks<T>(const NetworkView&, index);                                      \
    template double gradient_by_blocks(const NetworkView&, const T*, const Batch<T>&, T*,          \
                                       Interrupt*);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
