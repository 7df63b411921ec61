#include "backend/cpu/neural/attention.h"

#include <cmath>

#include "backend/cpu/contraction/scratch.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {

AttentionCall::AttentionCall(const KernelArgs& args, size_t mask_at)
    : query(args.inputs[0]), key(args.inputs[1]), value(args.inputs[2]) {
  const auto attrs = read_attrs<AttentionAttrs>(args.attrs);
  causal = attrs.is_causal != 0;
  scale = attrs.scale;
  has_mask = args.inputs.size() > mask_at;
  if (has_mask) mask = args.inputs[mask_at];
}

Matrix head_matrix(const View& view, int64_t n, int64_t h) {
  const int64_t offset = n * view.strides[0] + h * view.strides[1];
  return {view.data + offset * int64_t(itemsize(view.dtype)), view.dtype, view.strides[2],
          view.strides[3]};
}

namespace {

// Runs body(i) for i in [0, count), on other threads if it is worth it.
template <class F>
void for_tasks(int64_t count, double work, F&& body) {
  if (work >= kAttentionParallelWork) return parallel_for(count, body);
  for (int64_t i = 0; i < count; ++i) body(i);
}

// 1 / total, and nothing of rows that saw no key.
template <class T>
T inverse(T total) {
  return total == 0 ? T(0) : 1 / total;
}
// Infinity for a row that saw no key: 2^(score - infinity) is 0.
template <class T>
T log_sum(T top, T total) {
  return total == 0 ? std::numeric_limits<T>::infinity() : top + std::log2(total);
}

template <class T>
class Forward {
 public:
  Forward(const AttentionCall& call, const KernelArgs& args)
      : call_(call), out_(args.outputs[0]), logsum_(args.outputs[1].as<T>()) {}

  // Rows [first, first + kQueryBlock) of query head h.
  void run_block(int64_t n, int64_t h, int64_t first) const {
    const int64_t lanes = std::min(kQueryBlock, call_.rows() - first);
    const int64_t width = padded_lanes(kernels_, lanes);
    const int64_t size = call_.size(), out_size = call_.out_size();
    const bool direct = out_.dtype == kNative<T>;
    const int64_t staged_size = kKeyBlock * std::max(size, out_size);
    const Scratch<T> scratch(
        ScratchUse::composite,
        packed_lanes(kernels_, lanes, size) + width * (out_size + 2 * kKeyBlock + 3) + staged_size);
    T* const packed = scratch;
    T* const scores = packed + packed_lanes(kernels_, lanes, size);
    T* const spare = scores + width * kKeyBlock;
    T* const top = spare + width * kKeyBlock;
    T *const total = top + width, *const factor = total + width;
    T* const staged = factor + width;
    const int64_t at = (n * call_.heads() + h) * call_.rows() + first;
    T* const out = direct ? out_.as<T>() + at * out_size : staged + staged_size;

    pack_lanes(kernels_, head_matrix(call_.query, n, h), first, lanes, size, packed);
    loops_.scale(packed, packed_lanes(kernels_, lanes, size), T(call_.scale * kLog2E));
    std::fill_n(top, width, -std::numeric_limits<T>::infinity());
    std::fill_n(total, width, T(0));
    const int64_t g = h / call_.heads_per_kv();
    const Matrix key = head_matrix(call_.key, n, g), value = head_matrix(call_.value, n, g);
    const int64_t limit = call_.key_limit(first + lanes);
    for (int64_t s = 0; s < limit; s += kKeyBlock) {
      const int64_t keys = std::min(kKeyBlock, limit - s);
      const Rows<T> k = native_rows(kernels_, key, s, keys, size, staged);
      multiply_lanes(kernels_, keys, width, size, k, packed, scores);
      mask_scores(call_, n, h, first, lanes, s, keys, width, scores, spare);
      loops_.online(scores, keys, width, top, total, factor);
      if (s > 0) loops_.scale_rows(out, lanes, out_size, factor);
      const Rows<T> v = native_rows(kernels_, value, s, keys, out_size, staged);
      multiply_rows(kernels_, lanes, out_size, keys, {scores, 1, width}, v, out, s > 0);
    }
    if (limit == 0) std::fill_n(out, lanes * out_size, T(0));
    finish(at, lanes, out, top, total);
  }

 private:
  // Row r of `out` belongs to row `at` + r of the result.
  void finish(int64_t at, int64_t rows, T* out, const T* top, const T* total) const {
    const int64_t size = call_.out_size();
    for (int64_t r = 0; r < rows; ++r) {
      loops_.scale(out + r * size, size, inverse(total[r]));
      logsum_[at + r] = log_sum(top[r], total[r]);
    }
    if (out_.dtype != kNative<T>)
      kernels_.round(out, rows * size, out_.dtype,
                     out_.data + at * size * int64_t(itemsize(out_.dtype)));
  }

  const GemmKernels<T>& kernels_ = gemm_kernels<T>();
  const AttentionLoops<T>& loops_ = attention_loops<T>();
  const AttentionCall& call_;
  const View& out_;
  T* logsum_;
};

// A few queries over many keys, as when text is generated: keys and values are read once, by
// matrix-vector products, for all query heads that share them.
template <class T>
class Decode {
 public:
  static constexpr int64_t kMostRows = 8;

  static bool fits(const AttentionCall& call) {
    return call.rows() * call.heads_per_kv() <= kMostRows;
  }

  Decode(const AttentionCall& call, const KernelArgs& args)
      : call_(call), out_(args.outputs[0]), logsum_(args.outputs[1].as<T>()) {}

  void run() const {
    const int64_t heads = call_.batch() * call_.kv_heads(), rows = all_rows();
    // Few heads are cut into parts of their keys, whose results are joined in order.
    constexpr int64_t kTasks = 16, kLeastKeys = 512;
    const int64_t most_parts = std::max<int64_t>(1, ceil_div(call_.keys(), kLeastKeys));
    const int64_t parts = std::min(ceil_div(kTasks, heads), most_parts);
    const int64_t length = ceil_div(ceil_div(call_.keys(), parts), kKeyBlock) * kKeyBlock;
    const int64_t record = call_.out_size() + 2;  // of a row and part: result, largest, sum
    const Scratch<T> partials(ScratchUse::partials, heads * parts * rows * record);
    for_tasks(heads * parts, call_.work(), [&](int64_t task) {
      const int64_t head = task / parts, begin = task % parts * length;
      run_part(head / call_.kv_heads(), head % call_.kv_heads(), begin,
               std::min(call_.keys(), begin + length), partials.get() + task * rows * record);
    });
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t r = 0; r < rows; ++r)
        join(head * rows + r, partials.get() + (head * parts * rows + r) * record, parts,
             rows * record);
  }

 private:
  int64_t all_rows() const { return call_.rows() * call_.heads_per_kv(); }

  void run_part(int64_t n, int64_t g, int64_t begin, int64_t end, T* partial) const {
    constexpr int64_t kPadding = 64 / sizeof(T);
    const int64_t rows = all_rows(), size = call_.size(), out_size = call_.out_size();
    const int64_t wide = size + kPadding;
    const Scratch<T> scratch(ScratchUse::composite, rows * wide + 2 * kKeyBlock + out_size);
    T* const queries = scratch;
    T* const scores = queries + rows * wide;
    T* const spare = scores + kKeyBlock;
    T* const product = spare + kKeyBlock;
    for (int64_t r = 0; r < rows; ++r) {
      const Matrix query = head_matrix(call_.query, n, head_of(g, r)).at(r % call_.rows(), 0);
      kernels_.pack(query, 1, 1, size, queries + r * wide);
      loops_.scale(queries + r * wide, size, T(call_.scale * kLog2E));
      std::fill_n(queries + r * wide + size, kPadding, T(0));
      T* const to = partial + r * (out_size + 2);
      std::fill_n(to, out_size + 2, T(0));
      to[out_size] = -std::numeric_limits<T>::infinity();
    }
    const Matrix key = head_matrix(call_.key, n, g), value = head_matrix(call_.value, n, g);
    for (int64_t s = begin; s < end; s += kKeyBlock) {
      const int64_t keys = std::min(kKeyBlock, end - s);
      for (int64_t r = 0; r < rows; ++r) {
        T* const to = partial + r * (out_size + 2);
        kernels_.matvec(key.at(s, 0), keys, size, queries + r * wide, scores);
        mask_row(n, head_of(g, r), r % call_.rows(), s, keys, scores, spare);
        std::fill_n(scores + keys, kKeyBlock - keys, -std::numeric_limits<T>::infinity());
        const T factor = loops_.online_row(scores, kKeyBlock, to[out_size], to[out_size + 1]);
        kernels_.matvec(value.at(s, 0).transposed(), out_size, keys, scores, product);
        loops_.scale(to, out_size, factor);
        loops_.add(to, product, out_size, T(1));
      }
    }
  }

  // Hides what query `row` does not see of keys [first, first + keys), and adds its mask.
  void mask_row(int64_t n, int64_t h, int64_t row, int64_t first, int64_t keys, T* scores,
                T* spare) const {
    constexpr T kHidden = -std::numeric_limits<T>::infinity();
    if (call_.has_mask) {
      const Matrix mask = head_matrix(call_.mask, n, h).at(row, first);
      if (mask.dtype != DType::bool_) {
        kernels_.pack(mask.transposed(), keys, keys, 1, spare);
        loops_.add(scores, spare, keys, T(kLog2E));
      } else {
        const auto* seen = reinterpret_cast<const bool*>(mask.data);
        for (int64_t s = 0; s < keys; ++s)
          if (!seen[s * mask.column]) scores[s] = kHidden;
      }
    }
    if (call_.causal)
      for (int64_t s = std::max<int64_t>(0, row + 1 - first); s < keys; ++s) scores[s] = kHidden;
  }

  // Row r of those that share key head g.
  int64_t head_of(int64_t g, int64_t r) const {
    return g * call_.heads_per_kv() + r / call_.rows();
  }

  void join(int64_t at, T* parts, int64_t count, int64_t stride) const {
    const int64_t size = call_.out_size();
    T top = -std::numeric_limits<T>::infinity(), total = 0;
    for (int64_t p = 0; p < count; ++p) top = std::max(top, parts[p * stride + size]);
    for (int64_t p = 0; p < count; ++p) {
      T* const part = parts + p * stride;
      // A part that saw no key has nothing to add.
      const T weight = part[size + 1] == 0 ? T(0) : std::exp2(part[size] - top);
      loops_.scale(part, size, weight);
      total += part[size + 1] * weight;
      if (p > 0) loops_.add(parts, part, size, T(1));
    }
    loops_.scale(parts, size, inverse(total));
    logsum_[at] = log_sum(top, total);
    kernels_.round(parts, size, out_.dtype, out_.data + at * size * int64_t(itemsize(out_.dtype)));
  }

  const GemmKernels<T>& kernels_ = gemm_kernels<T>();
  const AttentionLoops<T>& loops_ = attention_loops<T>();
  const AttentionCall& call_;
  const View& out_;
  T* logsum_;
};

template <class T>
void forward(const AttentionCall& call, const KernelArgs& args) {
  if (Decode<T>::fits(call)) return Decode<T>(call, args).run();
  const Forward<T> run(call, args);
  const int64_t blocks = ceil_div(call.rows(), kQueryBlock);
  for_tasks(call.batch() * call.heads() * blocks, call.work(), [&](int64_t task) {
    const int64_t head = task / blocks;
    run.run_block(head / call.heads(), head % call.heads(), task % blocks * kQueryBlock);
  });
}

}  // namespace

void run_attention(const KernelArgs& args) {
  constexpr size_t kMaskAt = 3;
  const AttentionCall call(args, kMaskAt);
  if (call.batch() * call.heads() * call.rows() == 0) return;
  if (call.query.dtype == DType::float64) {
    forward<double>(call, args);
  } else {
    forward<float>(call, args);
  }
}

}  // namespace tegula::cpu
