#include "mlpcore/derivatives.hpp"

#include <algorithm>
#include <vector>

#include "mlpcore/parallel.hpp"
#include "mlpcore/workspace.hpp"

namespace mlpcore {

namespace {

// Multiply-adds a sample, roughly; an activation counts as 20.
double cost_per_sample(const NetworkView& net, Quantity quantity) {
    const auto weights = static_cast<double>(net.n_weights);
    const auto activations = 20.0 * static_cast<double>(net.n_units);
    const auto passes = static_cast<double>(std::min(net.n_inputs, net.n_outputs));
    switch (quantity) {
    case Quantity::forward:
    case Quantity::error:
        return weights + activations;
    case Quantity::gradient:
        return 3 * weights + activations;
    case Quantity::jacobian:
        return (1 + passes) * weights + activations;
    case Quantity::per_sample_gradient:
        return 5 * weights + activations;
    case Quantity::weight_jacobian:
        return (1 + 4 * static_cast<double>(net.n_outputs)) * weights + activations;
    case Quantity::hessian:
        return weights * weights / 2 + activations;
    case Quantity::hessian_diagonal:
        break;
    }
    double cost = 4 * weights + activations;
    for (index l = 1; l + 1 < net.depth; ++l) {
        const auto n = static_cast<double>(net.layers[l].n_out);
        const auto below = static_cast<double>(net.layers[l].n_in);
        const auto above = static_cast<double>(net.layers[l + 1].n_out);
        cost += n * above * (n + above) / 2 + n * n * below;
    }
    return cost;
}

// How the samples are cut. Depends on the network and the number of samples, never on the number
// of threads.
struct Plan {
    index tile;  // the most samples of a tile
    index chunk; // samples of a chunk, which is one piece of work
    index chunks;
    int threads;
};

// A tile's scratch should stay in the second-level cache, and mostly in the first; but a product
// needs some vectors side by side to keep its accumulators busy. The whole curvature matrices of
// the diagonal Hessian are large, and their products long.
constexpr index tile_bytes = 256 * 1024;
constexpr index longest_tile = 128;
constexpr index fewest_vectors(Quantity quantity) {
    return quantity == Quantity::hessian_diagonal ? 4 : 8;
}
// A chunk is long enough to pay for being handed out, and short enough to share the work evenly
// and to notice an interrupt.
constexpr double smallest_chunk_cost = 25e3;
constexpr double largest_chunk_cost = 2e8;
constexpr index chunks_wanted = 32;
constexpr index smallest_chunk = 64;
// Below this cost a thread takes longer to wake than it saves.
constexpr double cost_per_thread = 50e3;

template <class T> Plan make_plan(const NetworkView& net, Quantity quantity, index n) {
    const Kernels<T>& k = kernels<T>();
    const index vector_bytes =
        k.scratch_size(net, quantity, k.lanes) * static_cast<index>(sizeof(T));
    const index fewest = std::min<index>(fewest_vectors(quantity), longest_tile / k.lanes);
    const index vectors =
        std::clamp<index>(tile_bytes / vector_bytes, fewest, longest_tile / k.lanes);
    const index tile = vectors * k.lanes;

    const double cost = cost_per_sample(net, quantity);
    const double total = cost * static_cast<double>(n);
    const double chunk_cost = std::clamp(total / static_cast<double>(chunks_wanted),
                                         smallest_chunk_cost, largest_chunk_cost);
    index chunk = static_cast<index>(std::min(chunk_cost / cost, 1e15)) + 1;
    const index floor = std::min(smallest_chunk, tile);
    if (cost * static_cast<double>(floor) <= largest_chunk_cost) {
        chunk = std::max(chunk, floor);
    }
    // Equal chunks of whole vectors.
    const index chunks = std::max<index>((n + chunk - 1) / chunk, 1);
    chunk = (n + chunks - 1) / chunks;
    chunk = std::max((chunk + k.lanes - 1) / k.lanes, index{1}) * k.lanes;
    const index count = (n + chunk - 1) / chunk;
    const double worthwhile = std::max(total / cost_per_thread, 1.0);
    const double threads = std::min({worthwhile, static_cast<double>(max_threads()),
                                     static_cast<double>(std::max<index>(count, 1))});
    return {.tile = tile, .chunk = chunk, .chunks = count, .threads = static_cast<int>(threads)};
}

template <class T>
Batch<T> slice(const NetworkView& net, const Batch<T>& data, index first, index n) {
    Batch<T> part = data;
    part.n = n;
    if (data.rows != nullptr) {
        part.rows += first;
        return part;
    }
    part.x += first * net.n_inputs;
    part.t += part.t ? first * net.n_outputs : 0;
    part.labels += part.labels ? first : 0;
    part.sample_weight += part.sample_weight ? first : 0;
    return part;
}

// Calls body(first sample, tile, scratch) for the tiles of one chunk, nearly equal in size.
template <class T, class Body>
void for_each_tile(const NetworkView& net, Quantity quantity, const Plan& plan,
                   const Batch<T>& data, index chunk, const Body& body) {
    const Kernels<T>& k = kernels<T>();
    const index begin = chunk * plan.chunk, end = std::min(begin + plan.chunk, data.n);
    const index tiles = (end - begin + plan.tile - 1) / plan.tile;
    const index vectors = ((end - begin + tiles - 1) / tiles + k.lanes - 1) / k.lanes;
    const index size = vectors * k.lanes;
    T* const scratch = Workspace::mine().take<T>(k.scratch_size(net, quantity, size));
    for (index first = begin; first < end; first += size) {
        const index n = std::min(size, end - first);
        body(first, slice(net, data, first, n), scratch);
    }
}

// For quantities with rows of their own for each sample.
template <class T, class Body>
void map_tiles(const NetworkView& net, Quantity quantity, const Batch<T>& data,
               Interrupt* interrupt, const Body& body) {
    const Plan plan = make_plan<T>(net, quantity, data.n);
    parallel_for(plan.chunks, plan.threads, interrupt,
                 [&](index chunk) { for_each_tile(net, quantity, plan, data, chunk, body); });
}

// For sums over the samples: body(tile, sum, scratch) adds to a vector of `width` numbers and
// returns a number to be added up. Each chunk has its own sum; they are added in order.
template <class T, class Body>
double reduce_tiles(const NetworkView& net, Quantity quantity, const Batch<T>& data, index width,
                    T* result, Interrupt* interrupt, const Body& body) {
    const Plan plan = make_plan<T>(net, quantity, data.n);
    const auto sum_chunk = [&](index chunk, T* sum) {
        double total = 0;
        for_each_tile(
            net, quantity, plan, data, chunk,
            [&](index, const Batch<T>& tile, T* scratch) { total += body(tile, sum, scratch); });
        return total;
    };

    std::fill_n(result, width, T(0));
    if (plan.chunks <= 1) {
        double total = 0;
        parallel_for(plan.chunks, 1, interrupt,
                     [&](index chunk) { total = sum_chunk(chunk, result); });
        return total;
    }

    // Only so many partial sums are held at once.
    constexpr index most_bytes = index{64} << 20;
    const index row_bytes = std::max<index>(width * static_cast<index>(sizeof(T)), 1);
    const index round = std::min(
        std::clamp<index>(most_bytes / row_bytes, std::min(plan.threads, 64), 64), plan.chunks);
    std::vector<T> sums(static_cast<std::size_t>(round * width));
    std::vector<double> totals(static_cast<std::size_t>(round));
    double total = 0;
    for (index first = 0; first < plan.chunks; first += round) {
        const index count = std::min(round, plan.chunks - first);
        parallel_for(count, plan.threads, interrupt, [&](index i) {
            T* const sum = sums.data() + i * width;
            std::fill_n(sum, width, T(0));
            totals[static_cast<std::size_t>(i)] = sum_chunk(first + i, sum);
        });
        // Long vectors are added in pieces, each by one thread, each in the order of the chunks.
        const index piece = std::max<index>(width / 16, 4096);
        const index pieces = (width + piece - 1) / piece;
        parallel_for(pieces, width * count > 100'000 ? plan.threads : 1, interrupt, [&](index p) {
            const index from = p * piece, size = std::min(piece, width - from);
            for (index i = 0; i < count; ++i) {
                kernels<T>().accumulate(size, sums.data() + i * width + from, result + from);
            }
        });
        for (index i = 0; i < count; ++i) {
            total += totals[static_cast<std::size_t>(i)];
        }
    }
    return total;
}

} // namespace

double cost(const NetworkView& net, Quantity quantity, index n) {
    return cost_per_sample(net, quantity) * static_cast<double>(n);
}

template <class T> double scratch_bytes(const NetworkView& net, Quantity quantity, index n) {
    const Plan plan = make_plan<T>(net, quantity, n);
    const index samples = std::min(plan.tile, plan.chunk);
    return static_cast<double>(plan.threads) * static_cast<double>(sizeof(T)) *
           static_cast<double>(kernels<T>().scratch_size(net, quantity, samples));
}

template <class T>
void forward(const NetworkView& net, const T* w, const Batch<T>& data, bool logits, T* y,
             Interrupt* interrupt) {
    map_tiles(net, Quantity::forward, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().forward(net, w, tile, logits, y + first * net.n_outputs, scratch);
              });
}

template <class T>
double error(const NetworkView& net, const T* w, const Batch<T>& data, Interrupt* interrupt) {
    T* const nothing = nullptr;
    return reduce_tiles(net, Quantity::error, data, 0, nothing, interrupt,
                        [&](const Batch<T>& tile, T*, T* scratch) {
                            return kernels<T>().error(net, w, tile, scratch);
                        });
}

template <class T>
double gradient(const NetworkView& net, const T* w, const Batch<T>& data, T* gradient,
                Interrupt* interrupt) {
    return reduce_tiles(net, Quantity::gradient, data, net.n_weights, gradient, interrupt,
                        [&](const Batch<T>& tile, T* sum, T* scratch) {
                            return kernels<T>().gradient(net, w, tile, sum, scratch);
                        });
}

template <class T>
void jacobian(const NetworkView& net, const T* w, const Batch<T>& data, T* jacobian,
              Interrupt* interrupt) {
    const index per_sample = net.n_outputs * net.n_inputs;
    map_tiles(net, Quantity::jacobian, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().jacobian(net, w, tile, jacobian + first * per_sample, scratch);
              });
}

template <class T>
void weight_jacobian(const NetworkView& net, const T* w, const Batch<T>& data, T* jacobian,
                     Interrupt* interrupt) {
    const index per_sample = net.n_outputs * net.n_weights;
    map_tiles(net, Quantity::weight_jacobian, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().weight_jacobian(net, w, tile, jacobian + first * per_sample,
                                               scratch);
              });
}

template <class T>
void per_sample_gradient(const NetworkView& net, const T* w, const Batch<T>& data, T* gradients,
                         Interrupt* interrupt) {
    map_tiles(net, Quantity::per_sample_gradient, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().per_sample_gradient(net, w, tile, gradients + first * net.n_weights,
                                                   scratch);
              });
}

template <class T>
void hessian_diagonal(const NetworkView& net, const T* w, const Batch<T>& data, Curvature kind,
                      T* diagonal, Interrupt* interrupt) {
    reduce_tiles(net, Quantity::hessian_diagonal, data, net.n_weights, diagonal, interrupt,
                 [&](const Batch<T>& tile, T* sum, T* scratch) {
                     kernels<T>().hessian_diagonal(net, w, tile, kind, sum, scratch);
                     return 0.0;
                 });
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template double scratch_bytes<T>(const NetworkView&, Quantity, index);                         \
    template void forward(const NetworkView&, const T*, const Batch<T>&, bool, T*, Interrupt*);    \
    template double error(const NetworkView&, const T*, const Batch<T>&, Interrupt*);              \
    template double gradient(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);       \
    template void jacobian(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);         \
    template void weight_jacobian(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);  \
    template void per_sample_gradient(const NetworkView&, const T*, const Batch<T>&, T*,           \
                                      Interrupt*);                                                 \
    template void hessian_diagonal(const NetworkView&, const T*, const Batch<T>&, Curvature, T*,   \
                                   Interrupt*);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
