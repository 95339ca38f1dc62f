#include "mlpcore/derivatives.hpp"

#include <algorithm>
#include <array>

#include "gradient_by_blocks.hpp"
#include "mlpcore/counted.hpp"
#include "mlpcore/parallel.hpp"
#include "mlpcore/workspace.hpp"
#include "useful_threads.hpp"

namespace mlpcore {

namespace {

// Multiply-adds a sample, roughly; an activation counts as 20.
double cost_of_activations(const NetworkView& net) {
    return 20.0 * static_cast<double>(net.n_units);
}
double cost_of_products(const NetworkView& net, index directions) {
    return (2 + 6 * static_cast<double>(directions)) * static_cast<double>(net.n_weights) +
           cost_of_activations(net);
}
double cost_per_sample(const NetworkView& net, Quantity quantity) {
    const auto weights = static_cast<double>(net.n_weights);
    const double activations = cost_of_activations(net);
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
    case Quantity::hessian_vector_product:
        return cost_of_products(net, 1);
    case Quantity::hessian_vector_products:
        return cost_of_products(net, directions_at_once);
    case Quantity::output_hessian: {
        const auto pairs =
            static_cast<double>(net.n_inputs) * static_cast<double>(net.n_inputs + 1) / 2;
        const auto units = static_cast<double>(net.n_units - net.n_inputs);
        const auto outputs = static_cast<double>(net.n_outputs);
        return (1 + static_cast<double>(net.n_inputs) + outputs) * weights + activations +
               2 * outputs * pairs * units;
    }
    case Quantity::jvp:
    case Quantity::vjp:
        return 2 * weights + activations;
    case Quantity::weight_jvp:
    case Quantity::weight_vjp:
        return 3 * weights + activations;
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
template <class T> index fewest_vectors(const NetworkView& net, Quantity quantity) {
    const index lanes = kernels<T>().lanes;
    switch (quantity) {
    case Quantity::hessian_diagonal:
        return 4;
    case Quantity::jacobian: { // the outputs stand side by side, the samples are rows in the end
        constexpr index wanted = 16, fewest_rows = 16;
        const index beside = std::clamp<index>((wanted + net.n_outputs - 1) / net.n_outputs, 1, 8);
        return std::max(beside, fewest_rows / lanes);
    }
    case Quantity::hessian_vector_products: {
        constexpr index wanted = 16; // each tile goes through all directions and their sums
        const index bytes = net.widest * wanted * lanes * static_cast<index>(sizeof(T));
        return bytes <= tile_bytes ? wanted : wanted / 2;
    }
    default:
        return 8;
    }
}
// A chunk is long enough to pay for being handed out, and short enough to share the work evenly
// and to notice an interrupt.
constexpr double smallest_chunk_cost = 25e3;
constexpr double largest_chunk_cost = 1e9;
constexpr index chunks_wanted = 32;
constexpr index smallest_chunk = 64;
// Where chunks have sums of their own, adding a sum to the others costs what several samples
// cost; so a chunk has many samples if there are many.
constexpr index smallest_summed_chunk = 192, summed_chunks_wanted = 4;
constexpr bool sums_over_samples(Quantity quantity) {
    switch (quantity) {
    case Quantity::gradient:
    case Quantity::hessian_diagonal:
    case Quantity::hessian_vector_product:
    case Quantity::hessian_vector_products:
    case Quantity::weight_vjp:
        return true;
    default:
        return false;
    }
}

template <class T> Plan make_plan(const NetworkView& net, Quantity quantity, index n) {
    const bool sums = sums_over_samples(quantity);
    const Kernels<T>& k = kernels<T>();
    const index most = longest_tile / k.lanes;
    const index vector_bytes =
        k.scratch_size(net, quantity, longest_tile) / most * static_cast<index>(sizeof(T));
    const index fewest = std::min<index>(fewest_vectors<T>(net, quantity), most);
    const index vectors = std::clamp<index>(tile_bytes / vector_bytes, fewest, most);
    const index tile = vectors * k.lanes;

    const double cost = cost_per_sample(net, quantity);
    const double total = cost * static_cast<double>(n);
    if (total <= smallest_chunk_cost) { // what follows would come to this, slowly
        return {
            .tile = tile, .chunk = std::max(n, index{1}), .chunks = n > 0 ? 1 : 0, .threads = 1};
    }
    const double chunk_cost = std::clamp(total / static_cast<double>(chunks_wanted),
                                         smallest_chunk_cost, largest_chunk_cost);
    index chunk = static_cast<index>(std::min(chunk_cost / cost, 1e15)) + 1;
    const index floor =
        sums ? std::clamp(n / summed_chunks_wanted, smallest_chunk, smallest_summed_chunk)
             : std::min(smallest_chunk, tile);
    if (cost * static_cast<double>(floor) <= largest_chunk_cost) {
        chunk = std::max(chunk, floor);
    }
    // Equal chunks of whole vectors.
    const index chunks = std::max<index>((n + chunk - 1) / chunk, 1);
    chunk = (n + chunks - 1) / chunks;
    chunk = std::max((chunk + k.lanes - 1) / k.lanes, index{1}) * k.lanes;
    const index count = (n + chunk - 1) / chunk;
    const index threads = std::min<index>(useful_threads<T>(total), std::max<index>(count, 1));
    return {.tile = tile, .chunk = chunk, .chunks = count, .threads = static_cast<int>(threads)};
}

// Calls body(first sample, tile, scratch) for the tiles of one chunk, nearly equal in size.
template <class T, class Body>
void for_each_tile(const NetworkView& net, Quantity quantity, const Plan& plan,
                   const Batch<T>& data, index chunk, const Body& body) {
    const Kernels<T>& k = kernels<T>();
    const index begin = chunk * plan.chunk, end = std::min(begin + plan.chunk, data.n);
    const index tiles = (end - begin + plan.tile - 1) / plan.tile;
    const index vectors = ((end - begin + tiles - 1) / tiles + k.lanes - 1) / k.lanes;
    const index size = vectors * k.lanes, last = (end - begin - 1) % size + 1;
    index numbers = k.scratch_size(net, quantity, size);
    if (last != size) { // it may need more, where rows are rounded up to other than vectors
        numbers = std::max(numbers, k.scratch_size(net, quantity, last));
    }
    PassWorkspace memory;
    T* const scratch = memory.take<T>(numbers);
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

// The first chunk of a sum over the samples sums into the result itself, the others into sums of
// their own, of which only so many are held at once: as many as there are threads, where those
// don't take too much.
constexpr index most_sums = 63;
template <class T> index sums_held(const Plan& plan, index width) {
    constexpr index enough_bytes = index{32} << 20, most_bytes = index{1} << 30;
    const index row_bytes = std::max<index>(width * static_cast<index>(sizeof(T)), 1);
    const index fewest =
        std::clamp<index>(std::min<index>(plan.threads - 1, most_bytes / row_bytes), 1, most_sums);
    const index most = std::clamp<index>(enough_bytes / row_bytes, fewest, most_sums);
    return std::clamp<index>(plan.chunks - 1, 0, most);
}

// For sums over the samples: body(tile, sum, scratch) puts its part into a vector of `width`
// numbers and returns a number to be added up. Each chunk has its own sum; they are added in order.
template <class T, class Body>
double reduce_tiles(const NetworkView& net, Quantity quantity, const Batch<T>& all, index width,
                    T* result, Interrupt* interrupt, const Body& body) {
    const Counted<T> counted(all);
    const Batch<T>& data = counted.batch;
    const Plan plan = make_plan<T>(net, quantity, data.n);
    const auto sum_chunk = [&](index chunk, T* numbers) {
        double total = 0;
        Sum<T> sum{numbers, false};
        for_each_tile(net, quantity, plan, data, chunk,
                      [&](index, const Batch<T>& tile, T* scratch) {
                          total += body(tile, sum, scratch);
                          sum.begun = true;
                      });
        return total;
    };

    const index held = sums_held<T>(plan, width);
    HeldWorkspace<Holding::sums> memory;
    T* const sums = memory.take<T>(held * width);
    std::array<double, most_sums + 1> totals; // NOLINT: each is written before it is read
    if (plan.chunks == 0) {
        std::fill_n(result, width, T(0));
    }
    double total = 0;
    for (index first = 0; first < plan.chunks;) {
        const index direct = first == 0 ? 1 : 0;
        const index count = std::min(direct + held, plan.chunks - first);
        parallel_for(count, plan.threads, interrupt, [&](index i) {
            T* const sum = i < direct ? result : sums + (i - direct) * width;
            totals[static_cast<std::size_t>(i)] = sum_chunk(first + i, sum);
        });
        // Long vectors are added in pieces, each by one thread, each in the order of the chunks.
        const index piece = std::max<index>(width / 16, 4096);
        const index pieces = count > direct ? (width + piece - 1) / piece : 0;
        parallel_for(pieces, width * count > 100'000 ? plan.threads : 1, interrupt, [&](index p) {
            const index from = p * piece, size = std::min(piece, width - from);
            for (index i = direct; i < count; ++i) {
                kernels<T>().accumulate(size, sums + (i - direct) * width + from, result + from);
            }
        });
        for (index i = 0; i < count; ++i) {
            total += totals[static_cast<std::size_t>(i)];
        }
        first += count;
    }
    return total;
}

} // namespace

double cost(const NetworkView& net, Quantity quantity, index n) {
    return cost_per_sample(net, quantity) * static_cast<double>(n);
}

template <class T>
double scratch_bytes(const NetworkView& net, Quantity quantity, index n, index times, int threads) {
    if (quantity == Quantity::hessian) {
        return hessian_scratch_bytes<T>(net, n, threads);
    }
    const Plan plan = make_plan<T>(net, quantity, n);
    const index samples = std::min(plan.tile, times > 1 ? std::max(n, index{1}) : plan.chunk);
    const index passes = std::min<index>(std::max<index>(plan.threads, times), threads);
    return static_cast<double>(passes) * static_cast<double>(sizeof(T)) *
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
                        [&](const Batch<T>& tile, Sum<T>, T* scratch) {
                            return kernels<T>().error(net, w, tile, scratch);
                        });
}

template <class T>
double gradient(const NetworkView& net, const T* w, const Batch<T>& all, T* gradient,
                Interrupt* interrupt) {
    const Counted<T> counted(all); // before the choice: samples without weight must not matter
    const Batch<T>& data = counted.batch;
    if (suits_blocks<T>(net, data.n)) {
        return gradient_by_blocks(net, w, data, gradient, interrupt);
    }
    return reduce_tiles(net, Quantity::gradient, data, net.n_weights, gradient, interrupt,
                        [&](const Batch<T>& tile, Sum<T> sum, T* scratch) {
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
                 [&](const Batch<T>& tile, Sum<T> sum, T* scratch) {
                     kernels<T>().hessian_diagonal(net, w, tile, kind, sum, scratch);
                     return 0.0;
                 });
}

namespace {

// Vectors of weights as the kernels stack them, layer by layer, to rows.
template <class T> void unstack(const NetworkView& net, index m, const T* stacked, T* rows) {
    for (const Layer* l = net.layers; l < net.layers + net.depth; ++l) {
        const index size = l->n_out * l->n_in;
        for (index i = 0; i < m; ++i) {
            T* const row = rows + i * net.n_weights;
            std::copy_n(stacked + m * l->weights + i * size, size, row + l->weights);
            std::copy_n(stacked + m * l->biases + i * l->n_out, l->n_out, row + l->biases);
        }
    }
}

} // namespace

template <class T>
void hessian_vector_product(const NetworkView& net, const T* w, const T* v, index m,
                            const Batch<T>& all, ProductKind kind, T* product,
                            Interrupt* interrupt) {
    const Counted<T> counted(all);
    const Batch<T>& data = counted.batch;
    const auto sum_over_samples = [&](Quantity quantity, index count, const T* vectors, T* sum) {
        reduce_tiles(net, quantity, data, count * net.n_weights, sum, interrupt,
                     [&](const Batch<T>& tile, Sum<T> part, T* scratch) {
                         kernels<T>().hessian_vector_product(net, w, vectors, count, tile, kind,
                                                             part, scratch);
                         return 0.0;
                     });
    };
    if (m == 1) {
        sum_over_samples(Quantity::hessian_vector_product, 1, v, product);
        return;
    }
    // Equal groups of directions: each a piece of work over all samples if they are many and
    // short, so that nothing has to be summed up; else the samples are shared out.
    constexpr Quantity quantity = Quantity::hessian_vector_products;
    constexpr index enough_groups = 4;
    constexpr index group_bytes = index{16} << 20; // the cache that a group may fill
    constexpr double short_enough = 1e9; // multiply-adds between two looks at the interrupt
    const index bytes = 2 * net.n_weights * static_cast<index>(sizeof(T)); // of one, with its sum
    const index most = std::clamp<index>(group_bytes / bytes, 1, directions_at_once);
    const index groups = (m + most - 1) / most;
    const index size = groups > 0 ? (m + groups - 1) / groups : 0;
    const double group_cost = cost_of_products(net, size) * static_cast<double>(data.n);
    const bool side_by_side = groups >= enough_groups && group_cost <= short_enough;
    const auto each_group = [&](index group, const auto& compute) {
        const index begin = group * size, count = std::min(size, m - begin);
        if (count <= 0) {
            return;
        }
        const T* const vectors = v + begin * net.n_weights;
        T* const rows = product + begin * net.n_weights;
        if (count == 1) {
            compute(count, vectors, rows);
            return;
        }
        HeldWorkspace<Holding::vectors> memory;
        T* const stacked = memory.take<T>(count * net.n_weights);
        compute(count, vectors, stacked);
        unstack(net, count, stacked, rows);
    };
    if (!side_by_side) {
        for (index group = 0; group < groups; ++group) {
            each_group(group, [&](index count, const T* vectors, T* sum) {
                sum_over_samples(quantity, count, vectors, sum);
            });
        }
        return;
    }
    Plan plan = make_plan<T>(net, quantity, data.n);
    plan.chunk = std::max<index>(data.n, 1);
    const int threads = useful_threads<T>(group_cost * static_cast<double>(groups));
    parallel_for(groups, threads, interrupt, [&](index group) {
        each_group(group, [&](index count, const T* vectors, T* sum) {
            if (data.n == 0) {
                std::fill_n(sum, count * net.n_weights, T(0));
                return;
            }
            for_each_tile(net, quantity, plan, data, 0,
                          [&](index first, const Batch<T>& tile, T* scratch) {
                              kernels<T>().hessian_vector_product(net, w, vectors, count, tile,
                                                                  kind, {sum, first > 0}, scratch);
                          });
        });
    });
}

template <class T>
void output_hessian(const NetworkView& net, const T* w, const Batch<T>& data, T* hessian,
                    Interrupt* interrupt) {
    const index per_sample = net.n_outputs * net.n_inputs * net.n_inputs;
    map_tiles(net, Quantity::output_hessian, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().output_hessian(net, w, tile, hessian + first * per_sample, scratch);
              });
}

template <class T>
void jvp(const NetworkView& net, const T* w, const Batch<T>& data, const T* dx, T* dy,
         Interrupt* interrupt) {
    map_tiles(net, Quantity::jvp, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  Batch<T> tangents = tile;
                  tangents.x = dx + first * net.n_inputs;
                  kernels<T>().jvp(net, w, tile, tangents, dy + first * net.n_outputs, scratch);
              });
}

template <class T>
void vjp(const NetworkView& net, const T* w, const Batch<T>& data, T* dx, Interrupt* interrupt) {
    map_tiles(net, Quantity::vjp, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().vjp(net, w, tile, dx + first * net.n_inputs, scratch);
              });
}

template <class T>
void weight_jvp(const NetworkView& net, const T* w, const T* v, const Batch<T>& data, T* dy,
                Interrupt* interrupt) {
    map_tiles(net, Quantity::weight_jvp, data, interrupt,
              [&](index first, const Batch<T>& tile, T* scratch) {
                  kernels<T>().weight_jvp(net, w, v, tile, dy + first * net.n_outputs, scratch);
              });
}

template <class T>
void weight_vjp(const NetworkView& net, const T* w, const Batch<T>& data, T* sum,
                Interrupt* interrupt) {
    reduce_tiles(net, Quantity::weight_vjp, data, net.n_weights, sum, interrupt,
                 [&](const Batch<T>& tile, Sum<T> part, T* scratch) {
                     kernels<T>().weight_vjp(net, w, tile, part, scratch);
                     return 0.0;
                 });
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template double scratch_bytes<T>(const NetworkView&, Quantity, index, index, int);             \
    template void forward(const NetworkView&, const T*, const Batch<T>&, bool, T*, Interrupt*);    \
    template double error(const NetworkView&, const T*, const Batch<T>&, Interrupt*);              \
    template double gradient(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);       \
    template void jacobian(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);         \
    template void weight_jacobian(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);  \
    template void per_sample_gradient(const NetworkView&, const T*, const Batch<T>&, T*,           \
                                      Interrupt*);                                                 \
    template void hessian_diagonal(const NetworkView&, const T*, const Batch<T>&, Curvature, T*,   \
                                   Interrupt*);                                                    \
    template void hessian_vector_product(const NetworkView&, const T*, const T*, index,            \
                                         const Batch<T>&, ProductKind, T*, Interrupt*);            \
    template void output_hessian(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);   \
    template void jvp(const NetworkView&, const T*, const Batch<T>&, const T*, T*, Interrupt*);    \
    template void vjp(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);              \
    template void weight_jvp(const NetworkView&, const T*, const T*, const Batch<T>&, T*,          \
                             Interrupt*);                                                          \
    template void weight_vjp(const NetworkView&, const T*, const Batch<T>&, T*, Interrupt*);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
