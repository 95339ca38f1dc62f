// The Hessian: tiles of samples are prepared side by side, then the pieces of the result.
#include <algorithm>
#include <array>
#include <vector>

#include "mlpcore/counted.hpp"
#include "mlpcore/derivatives.hpp"
#include "mlpcore/parallel.hpp"
#include "mlpcore/workspace.hpp"
#include "useful_threads.hpp"

namespace mlpcore {

namespace {

constexpr index most_tiles = 16; // held at once
// Pairs of a piece: twice the rows where half of them are left out; the columns that come with its
// last input may go beyond.
constexpr index most_rows = 96, most_columns = 1024;

// How the samples are cut; depends on the network and their number alone.
struct Tiling {
    index size;     // samples of a tile
    index together; // tiles whose state is held at once
};

template <class T> Tiling make_tiling(const NetworkView& net, index n) {
    // The longer a tile, the less often sums over its lanes; its rows should fit the caches.
    constexpr index longest = 384;
    constexpr double most_bytes = 96e6;
    const Kernels<T>& k = kernels<T>();
    const double bytes = static_cast<double>(sizeof(T)) *
                         static_cast<double>(k.scratch_size(net, Quantity::hessian, k.lanes));
    const index vectors = static_cast<index>(std::min(most_bytes / bytes, 1e6));
    const index most = std::clamp<index>(vectors / 2, 1, longest / k.lanes);
    const index all = std::max<index>((n + k.lanes - 1) / k.lanes, 1);
    const index tiles = (all + most - 1) / most;
    // An odd number of vectors, so that rows don't fall upon the same sets of a cache.
    const index size = std::min(((all + tiles - 1) / tiles) | 1, std::max<index>(most, 1));
    return {.size = size * k.lanes, .together = std::clamp<index>(vectors / size, 1, most_tiles)};
}

// Pieces of one of the sums of a pair of layers; no two of them add to the same number.
void cut(const NetworkView& net, HessianKind kind, index l, index m, bool slopes,
         std::vector<HessianPiece>& pieces) {
    pieces.clear();
    const Layer& lower = net.layers[l];
    const Layer& upper = net.layers[m];
    const index units = slopes ? upper.n_in : upper.n_out;
    const bool top_diagonal = l + 1 == net.depth && net.output != Output::softmax &&
                              kind != HessianKind::empirical_fisher;
    const bool diagonal = slopes ? l + 1 == m : top_diagonal;
    const index rows = diagonal ? lower.n_out : lower.n_out * units;
    // At least four pieces of each row, unless they are short: the threads share few rows as well.
    const auto columns_of = [&](index i) {
        return l == m ? i + 1 : slopes ? upper.n_out : upper.n_in + 1;
    };
    index all_columns = 0;
    for (index i = 0; i <= lower.n_in; ++i) {
        all_columns += columns_of(i);
    }
    const index wanted = std::clamp<index>(all_columns / 4, 128, most_columns);
    const index together = l == m ? 2 * most_rows : most_rows; // half of the pairs are left out
    for (index i = 0; i <= lower.n_in;) {
        index end = i, columns = 0;
        while (end <= lower.n_in && (end == i || columns < wanted)) {
            columns += columns_of(end++);
        }
        for (index row = 0; row < rows; row += together) {
            pieces.push_back({.l = l,
                              .m = m,
                              .slopes = slopes,
                              .pairs = diagonal ? Pairs::diagonal
                                       : l == m ? Pairs::upper
                                                : Pairs::all,
                              .first_row = row,
                              .end_row = std::min(row + together, rows),
                              .first_input = i,
                              .end_input = end});
        }
        i = end;
    }
}

// Adds the upper triangles of the blocks (l, m), of all or of those with l = m; block(l, m) says
// where one begins and how far its rows are apart.
template <class T> struct Place {
    T* begin;
    index step;
};
template <class T, class Block>
void add_blocks(const NetworkView& net, const T* w, const Batch<T>& all, HessianKind kind,
                bool diagonal_only, Interrupt* interrupt, const Block& block) {
    const Counted<T> counted(all);
    const Batch<T>& data = counted.batch;
    const Kernels<T>& k = kernels<T>();
    const Tiling tiling = make_tiling<T>(net, data.n);
    const index state_size = k.scratch_size(net, Quantity::hessian, tiling.size);
    const index all_tiles = (data.n + tiling.size - 1) / tiling.size;
    const int threads = useful_threads<T>(cost(net, Quantity::hessian, data.n));
    const index state_numbers = std::min(tiling.together, all_tiles) * state_size;
    constexpr index kept = 1 << 18; // numbers; so that small networks don't wait for memory
    Workspace large;
    HeldWorkspace<Holding::tiles> small;
    T* const base =
        state_numbers > kept ? large.take<T>(state_numbers) : small.take<T>(state_numbers);
    std::array<index, most_tiles> n{};
    std::array<T*, most_tiles> states{};
    std::vector<HessianPiece> pieces;

    for (index first = 0; first < all_tiles; first += tiling.together) {
        const index tiles = std::min(tiling.together, all_tiles - first);
        for (index t = 0; t < tiles; ++t) {
            const auto i = static_cast<std::size_t>(t);
            n[i] = std::min(tiling.size, data.n - (first + t) * tiling.size);
            states[i] = base + t * state_size;
        }
        const auto for_each_tile = [&](const auto& body) {
            parallel_for(tiles, threads, interrupt, [&](index t) {
                body(t, n[static_cast<std::size_t>(t)], states[static_cast<std::size_t>(t)]);
            });
        };
        for_each_tile([&](index t, index samples, T* state) {
            k.hessian_begin(net, w, slice(net, data, (first + t) * tiling.size, samples), kind,
                            state);
        });
        for (index m = net.depth - 1; m >= 0; --m) {
            for (index l = m; l >= (diagonal_only ? std::max<index>(m - 1, 0) : 0); --l) {
                if (l < m) {
                    for_each_tile([&](index, index samples, T* state) {
                        k.hessian_descend(net, w, kind, l, m, samples, state);
                    });
                    if (diagonal_only) {
                        continue;
                    }
                }
                // One sum after the other: both add to the same numbers.
                for (const bool slopes : {false, true}) {
                    if (slopes && (kind != HessianKind::exact || l == m)) {
                        continue;
                    }
                    cut(net, kind, l, m, slopes, pieces);
                    const Place<T> to = block(l, m);
                    const auto count = static_cast<index>(pieces.size());
                    parallel_for(count, threads, interrupt, [&](index i) {
                        const HessianPiece& piece = pieces[static_cast<std::size_t>(i)];
                        PassWorkspace memory;
                        T* const scratch =
                            memory.take<T>(k.hessian_piece_scratch(net, piece, tiling.size));
                        k.hessian_add(net, w, kind, piece, tiles, n.data(), states.data(), to.begin,
                                      to.step, scratch);
                    });
                }
            }
        }
    }
}

template <class T> void clear(index n, T* a, int threads, Interrupt* interrupt) {
    constexpr index piece = 1 << 18;
    parallel_for((n + piece - 1) / piece, threads, interrupt, [&](index i) {
        std::fill_n(a + i * piece, std::min(piece, n - i * piece), T(0));
    });
}

template <class T> void mirror(index n, T* a, int threads, Interrupt* interrupt) {
    constexpr index piece = 64;
    parallel_for((n + piece - 1) / piece, threads, interrupt, [&](index i) {
        kernels<T>().mirror(n, i * piece, std::min((i + 1) * piece, n), a);
    });
}

index size_of(const Layer& l) { return l.n_out * (l.n_in + 1); }

} // namespace

template <class T> double hessian_scratch_bytes(const NetworkView& net, index n, int threads) {
    const Tiling tiling = make_tiling<T>(net, n);
    const index tiles = std::min(tiling.together, (n + tiling.size - 1) / tiling.size);
    const index state = kernels<T>().scratch_size(net, Quantity::hessian, tiling.size);
    const index inputs = net.widest + 1;
    const index rows = std::min(2 * most_rows, inputs * inputs);
    const index columns = std::min(most_columns + inputs, inputs * inputs);
    const index piece = rows * (columns + tiling.size);
    threads = std::min(threads, useful_threads<T>(cost(net, Quantity::hessian, n)));
    return static_cast<double>(sizeof(T)) *
           (static_cast<double>(tiles) * static_cast<double>(state) +
            static_cast<double>(threads) * static_cast<double>(piece));
}

template <class T>
void hessian(const NetworkView& net, const T* w, const Batch<T>& data, HessianKind kind, T* hessian,
             Interrupt* interrupt) {
    const index size = net.n_weights;
    const int threads = useful_threads<T>(static_cast<double>(size) * static_cast<double>(size));
    clear(size * size, hessian, threads, interrupt);
    add_blocks(net, w, data, kind, false, interrupt, [&](index l, index m) {
        return Place<T>{hessian + net.layers[l].weights * size + net.layers[m].weights, size};
    });
    mirror(size, hessian, threads, interrupt);
}

template <class T>
void hessian_blocks(const NetworkView& net, const T* w, const Batch<T>& data, HessianKind kind,
                    T* const* blocks, Interrupt* interrupt) {
    for (index l = 0; l < net.depth; ++l) {
        const index size = size_of(net.layers[l]);
        clear(size * size, blocks[l], useful_threads<T>(static_cast<double>(size * size)),
              interrupt);
    }
    add_blocks(net, w, data, kind, true, interrupt,
               [&](index l, index) { return Place<T>{blocks[l], size_of(net.layers[l])}; });
    for (index l = 0; l < net.depth; ++l) {
        const index size = size_of(net.layers[l]);
        mirror(size, blocks[l], useful_threads<T>(static_cast<double>(size * size)), interrupt);
    }
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template double hessian_scratch_bytes<T>(const NetworkView&, index, int);                      \
    template void hessian(const NetworkView&, const T*, const Batch<T>&, HessianKind, T*,          \
                          Interrupt*);                                                             \
    template void hessian_blocks(const NetworkView&, const T*, const Batch<T>&, HessianKind,       \
                                 T* const*, Interrupt*);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
