// Attention and its gradient on a CPU in single precision: softmax(Q Kᵀ / √d) V by tiles, scores never kept.
//
// Forward with a running maximum and sum (Milakov & Gimelshein 2018, arXiv 1805.02867), backward from the
// logarithm of the sum (Dao et al. 2022, arXiv 2205.14135). What makes it fast are products of small tiles
// whose results stay in registers: 6 rows of 16 columns, a number of one factor times a row of the other.
// Exponentials are to the base of two, which log₂ e in the scale of the queries makes up for.
//
// Shapes: A heads, N queries, P keys, d features. D is d rounded up; rows are rounded up too, with zeros.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

typedef float Vector __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(32), aligned(4), may_alias));

constexpr long LANES = 8, ROWS = 6, COLUMNS = 2 * LANES;
constexpr long QUERIES = 48, KEYS = 96;  // of a tile of scores: multiples of ROWS and, the keys, of COLUMNS
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f, NEVER = -1e30f;

#define INLINE inline __attribute__((always_inline))

INLINE Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }
INLINE void store(float *to, Vector x) { *reinterpret_cast<Vector *>(to) = x; }
INLINE Vector every(float x) { return x - Vector{}; }
INLINE Vector larger(Vector a, Vector b) { return a < b ? b : a; }  // keeps a that is not a number

// 2 to the power of x ≤ 127, to 3e-9 before rounding; 2⁻¹²⁶ below. The exponent is added as bits.
INLINE Vector power_of_two(Vector x) {
    const float magic = 12582912.0f;  // adding it rounds to integers, which are then the last bits
    x = larger(x, every(-126.0f));
    const Vector whole = x + magic, part = x - (whole - magic);
    Vector y = every(1.53425427e-4f);
    y = y * part + 1.34046366e-3f;
    y = y * part + 9.61854337e-3f;
    y = y * part + 5.55031507e-2f;
    y = y * part + 2.40226458e-1f;
    y = y * part + 6.93147213e-1f;
    y = y * part + 1.0f;
    return (Vector)((Integers)y + ((Integers)whole << 23));
}

struct Tile {
    Vector at[ROWS][2];
};

// Σ_k a[row · i + step · k] b[k, :] of ROWS rows i and COLUMNS columns; b has `width` numbers a row.
INLINE Tile product(const float *a, long row, long step, const float *b, long width, long terms) {
    Tile c = {};
    for (long k = 0; k < terms; ++k) {
        const Vector left = load(b + k * width), right = load(b + k * width + LANES);
#pragma GCC unroll 6
        for (long i = 0; i < ROWS; ++i) {
            const float factor = a[row * i + step * k];
            c.at[i][0] += factor * left;
            c.at[i][1] += factor * right;
        }
    }
    return c;
}

template <class Function>
INLINE void put(float *to, long width, const Tile &tile, Function function) {
#pragma GCC unroll 6
    for (long i = 0; i < ROWS; ++i)
        for (long half = 0; half < 2; ++half) {
            float *place = to + i * width + half * LANES;
            store(place, function(tile.at[i][half], place, i));
        }
}

// Add the product of a, as above, and b (terms, D) to ROWS rows of c (…, D).
template <long D>
INLINE void add_product(float *c, const float *a, long row, long step, const float *b, long terms) {
    for (long n = 0; n < D; n += COLUMNS)
        put(c + n, D, product(a, row, step, b + n, D, terms),
            [](Vector x, float *at, long) { return load(at) + x; });
}

// A tile of a (QUERIES, D) times bᵀ, where b is a block of KEYS columns (D, KEYS).
template <long D, class Function>
INLINE void scores(float *to, const float *a, const float *b, Function function) {
    for (long j = 0; j < KEYS; j += COLUMNS)
        for (long i = 0; i < QUERIES; i += ROWS)
            put(to + i * KEYS + j, KEYS, product(a + i * D, D, 1, b + j, KEYS, D),
                [&](Vector x, float *at, long r) { return function(x, at, i + r); });
}

// Values of one head, a row every `step` numbers.
struct Rows {
    float *values;
    long step;
    Rows from(long row) const { return {values + row * step, step}; }
};

// Copy rows of d numbers as rows of D, each times `factor`.
template <long D>
void copy(float *to, Rows from, long rows, long d, float factor = 1.0f) {
    for (long i = 0; i < rows; ++i)
        for (long n = 0; n < d; ++n) to[i * D + n] = factor * from.values[i * from.step + n];
}

// Copy rows as blocks (D, KEYS).
template <long D>
void transpose(float *to, Rows from, long rows, long d) {
    for (long i = 0; i < rows; ++i)
        for (long n = 0; n < d; ++n)
            to[i / KEYS * KEYS * D + n * KEYS + i % KEYS] = from.values[i * from.step + n];
}

long rounded(long number, long to) { return (number + to - 1) / to * to; }

// What a thread works on; zero where a head has no rows or features.
struct Space : std::vector<float> {
    explicit Space(long rows, long width) : std::vector<float>(rows * width, 0.0f) {}
};

struct Sizes {
    long heads, queries, keys, d;
    float scale() const { return 1.0f / std::sqrt(static_cast<float>(d)); }
};

float largest_of(Vector x) {
    for (long half = LANES / 2; half; half /= 2)
        for (long n = 0; n < half; ++n) x[n] = std::max(x[n], x[n + half]);
    return x[0];
}

float sum_of(Vector x) {
    for (long half = LANES / 2; half; half /= 2)
        for (long n = 0; n < half; ++n) x[n] += x[n + half];
    return x[0];
}

// Attention of QUERIES queries, a block of keys at a time.
template <long D>
struct Running {
    alignas(64) float p[QUERIES * KEYS], out[QUERIES * D];  // out is still to be divided by the sum of totals
    Vector totals[QUERIES];
    float largest[QUERIES];

    Running() {
        std::fill(out, out + QUERIES * D, 0.0f);
        std::fill(totals, totals + QUERIES, Vector{});
        std::fill(largest, largest + QUERIES, NEVER);
    }

    // Scaled queries q (QUERIES, D), a block of keys (D, KEYS) and of values v (KEYS, D), `there` of them.
    void add(const float *q, const float *k_block, const float *v, long there) {
        scores<D>(p, q, k_block, [](Vector x, float *, long) { return x; });
        for (long i = 0; i < QUERIES; ++i) {
            std::fill(p + i * KEYS + there, p + (i + 1) * KEYS, NEVER);
            exponentiate(i);
        }
        for (long i = 0; i < QUERIES; i += ROWS) add_product<D>(out + i * D, p + i * KEYS, KEYS, 1, v, KEYS);
    }

  private:
    void exponentiate(long i) {
        float *row = p + i * KEYS;
        Vector most = load(row), other = load(row + LANES);
        for (long n = COLUMNS; n < KEYS; n += COLUMNS) {
            most = larger(most, load(row + n));
            other = larger(other, load(row + n + LANES));
        }
        const float now = std::max(largest[i], largest_of(larger(most, other)));
        if (now > largest[i]) rescale(i, now);
        Vector sum = totals[i];
        for (long n = 0; n < KEYS; n += LANES) {
            const Vector x = power_of_two(load(row + n) - now);
            store(row + n, x);
            sum += x;
        }
        totals[i] = sum;
    }

    void rescale(long i, float now) {
        const float shrink = std::exp2(largest[i] - now);
        largest[i] = now;
        totals[i] *= shrink;
        for (long n = 0; n < D; ++n) out[i * D + n] *= shrink;
    }
};

template <long D>
struct Forward {
    Sizes sizes;
    Space q, k, v;

    explicit Forward(Sizes s)
        : sizes(s), q(QUERIES, D), k(rounded(s.keys, KEYS), D), v(rounded(s.keys, KEYS), D) {}

    // Queries first … last - 1 of a head; lse (N,) is log₂ of the sum of the exponentials.
    void head(Rows q_in, Rows k_in, Rows v_in, Rows y, float *lse, long first, long last) {
        transpose<D>(k.data(), k_in, sizes.keys, sizes.d);
        copy<D>(v.data(), v_in, sizes.keys, sizes.d);
        for (long start = first; start < last; start += QUERIES) {
            const long rows = std::min(QUERIES, last - start);
            copy<D>(q.data(), q_in.from(start), rows, sizes.d, sizes.scale() * LOG2_E);
            Running<D> found;
            for (long j = 0; j < sizes.keys; j += KEYS)
                found.add(q.data(), &k[j * D], &v[j * D], std::min(KEYS, sizes.keys - j));
            for (long i = 0; i < rows; ++i) {
                const float total = sum_of(found.totals[i]);
                lse[start + i] = found.largest[i] + std::log2(total);
                for (long n = 0; n < sizes.d; ++n) y.from(start + i).values[n] = found.out[i * D + n] / total;
            }
        }
    }
};

template <long D>
struct Backward {
    Sizes sizes;
    long queries, keys;
    Space q, dy, lse, delta, k, k_blocks, v_blocks, dq, dk, dv;

    explicit Backward(Sizes s)
        : sizes(s), queries(rounded(s.queries, QUERIES)), keys(rounded(s.keys, KEYS)),
          q(queries, D), dy(queries, D), lse(queries, 1), delta(queries, 1),
          k(keys, D), k_blocks(keys, D), v_blocks(keys, D), dq(queries, D), dk(keys, D), dv(keys, D) {}

    void head(Rows q_in, Rows k_in, Rows v_in, Rows y, Rows dy_in, const float *lse_in,
              Rows dq_out, Rows dk_out, Rows dv_out) {
        const long d = sizes.d;
        copy<D>(q.data(), q_in, sizes.queries, d, sizes.scale() * LOG2_E);
        copy<D>(dy.data(), dy_in, sizes.queries, d);
        copy<D>(k.data(), k_in, sizes.keys, d);
        transpose<D>(k_blocks.data(), k_in, sizes.keys, d);
        transpose<D>(v_blocks.data(), v_in, sizes.keys, d);
        std::copy(lse_in, lse_in + sizes.queries, lse.begin());
        for (long i = 0; i < sizes.queries; ++i) {
            delta[i] = 0.0f;
            for (long n = 0; n < d; ++n) delta[i] += y.values[i * y.step + n] * dy[i * D + n];
        }
        for (Space *sum : {&dq, &dk, &dv}) std::fill(sum->begin(), sum->end(), 0.0f);
        for (long j = 0; j < keys; j += KEYS)
            for (long i = 0; i < queries; i += QUERIES) tile(i, j);
        put_back(dq_out, dq, sizes.queries, sizes.scale());
        put_back(dk_out, dk, sizes.keys, LN_2);
        put_back(dv_out, dv, sizes.keys, 1.0f);
    }

  private:
    // P = 2^(Q Kᵀ - lse) and dS = P (dY Vᵀ - delta) of a tile, and what they add to the gradients.
    void tile(long first, long key) {
        alignas(64) float p[QUERIES * KEYS], ds[QUERIES * KEYS];
        const float *q_rows = &q[first * D], *dy_rows = &dy[first * D];
        const float *less = &lse[first], *mean = &delta[first];
        scores<D>(p, q_rows, &k_blocks[key * D],
                  [=](Vector x, float *, long i) { return power_of_two(x - less[i]); });
        for (long i = 0; i < QUERIES; ++i)
            std::fill(p + i * KEYS + std::min(KEYS, sizes.keys - key), p + (i + 1) * KEYS, 0.0f);
        scores<D>(ds, dy_rows, &v_blocks[key * D],
                  [&](Vector x, float *at, long i) { return load(p + (at - ds)) * (x - mean[i]); });
        for (long j = 0; j < KEYS; j += ROWS) {
            add_product<D>(&dv[(key + j) * D], p + j, 1, KEYS, dy_rows, QUERIES);
            add_product<D>(&dk[(key + j) * D], ds + j, 1, KEYS, q_rows, QUERIES);
        }
        for (long i = 0; i < QUERIES; i += ROWS)
            add_product<D>(&dq[(first + i) * D], ds + i * KEYS, KEYS, 1, &k[key * D], KEYS);
    }

    void put_back(Rows to, const Space &from, long rows, float factor) {
        for (long i = 0; i < rows; ++i)
            for (long n = 0; n < sizes.d; ++n) to.from(i).values[n] = factor * from[i * D + n];
    }
};

// Let threads take tasks by number, each with a worker of its own; how many does not matter to the results.
template <class Worker, class Task>
void share(long threads, long tasks, Sizes sizes, Task task) {
    std::atomic<long> next{0};
    const auto work = [&] {
        Worker worker(sizes);
        for (long number; (number = next++) < tasks;) task(worker, number);
    };
    std::vector<std::thread> others;
    for (long n = 1; n < std::min(threads, tasks); ++n) others.emplace_back(work);
    work();
    for (auto &thread : others) thread.join();
}

// A tensor (B, A, rows, d) by its strides; the last is 1.
struct Tensor {
    float *values;
    long sample, head, row;
    Rows of(long b, long a) const { return {values + b * sample + a * head, row}; }
};

template <long D>
void forward(long threads, long samples, Sizes s, const Tensor *tensors, float *lse) {
    const long most = rounded(s.queries, QUERIES) / QUERIES, wanted = 4 * threads / (samples * s.heads);
    const long parts = std::clamp(wanted, 1L, most), each = rounded((s.queries + parts - 1) / parts, QUERIES);
    share<Forward<D>>(threads, samples * s.heads * parts, s, [&](Forward<D> &worker, long task) {
        const long head = task / parts, first = task % parts * each;
        const auto rows = [&](long number) { return tensors[number].of(head / s.heads, head % s.heads); };
        worker.head(rows(0), rows(1), rows(2), rows(3), lse + head * s.queries, first,
                    std::min(first + each, s.queries));
    });
}

template <long D>
void backward(long threads, long samples, Sizes s, const Tensor *tensors, const float *lse) {
    share<Backward<D>>(threads, samples * s.heads, s, [&](Backward<D> &worker, long head) {
        const auto rows = [&](long number) { return tensors[number].of(head / s.heads, head % s.heads); };
        worker.head(rows(0), rows(1), rows(2), rows(3), rows(4), lse + head * s.queries,
                    rows(5), rows(6), rows(7));
    });
}

}  // namespace

// Tensors q, k, v, y. Returns lse (B, A, N).
extern "C" void attention_forward(long threads, long samples, Sizes s, const Tensor *t, float *lse) {
    s.d <= 16 ? forward<16>(threads, samples, s, t, lse)
    : s.d <= 32 ? forward<32>(threads, samples, s, t, lse)
                : forward<64>(threads, samples, s, t, lse);
}

// Tensors q, k, v, y, dy, dq, dk, dv.
extern "C" void attention_backward(long threads, long samples, Sizes s, const Tensor *t, const float *lse) {
    s.d <= 16 ? backward<16>(threads, samples, s, t, lse)
    : s.d <= 32 ? backward<32>(threads, samples, s, t, lse)
                : backward<64>(threads, samples, s, t, lse);
}
