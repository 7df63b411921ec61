#include "backend/cpu/fft/lines.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/fft/blocks.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu::fft {
namespace {

constexpr int64_t kNear = 2 << 20;   // bytes that long strides may go over without harm
constexpr int64_t kCache = 2 << 20;  // bytes
constexpr double kTransposeCost = 6, kStrideCost = 16;  // of a row, in ns

int64_t pieces(int64_t count, int64_t each) { return (count + each - 1) / each; }

// Numbers of one line: complex ones `step` apart, or pairs of real ones.
template <class T>
struct Numbered {
  T* data;
  int64_t step, imaginary;
};

template <class T>
Lines<T> lanes_of(Numbered<T> line, int64_t first, int64_t lanes, int64_t row_step, int64_t rows) {
  Lines<T> out;
  out.data = line.data + first * line.step;
  out.step = row_step * line.step;
  out.imaginary = line.imaginary;
  out.lanes = lanes;
  for (int64_t l = 0; l < lanes; ++l) out.lane[l] = l * line.step;
  out.reals = out.imaginaries = rows;
  return out;
}

// Blocks [0, count) of a plan's rows, described by make(block, i). Those whose rows are `far` apart
// go several at a time, as many as leave their rows in the cache.
template <class T, class Make>
void run_blocks(const ColumnPlan<T>& plan, int64_t count, bool far, double us, const Make& make) {
  const int64_t size = 2 * (plan.rows() + 1) * kRow<T>;  // of a block's working memory
  const int64_t fitting = kCache / (size * int64_t(sizeof(T)));
  const int64_t group = far ? std::clamp<int64_t>(fitting, 1, kMostBlocks) : 1;
  parallel_for(
      pieces(count, group),
      [&](int64_t piece) {
        const int64_t first = piece * group, here = std::min(group, count - first);
        const Scratch<T> scratch(ScratchUse::tile, size_t(here * size));
        Block<T> blocks[kMostBlocks];
        for (int64_t g = 0; g < here; ++g) {
          blocks[g].plan = &plan;
          blocks[g].scratch = scratch.get() + g * size;
          make(blocks[g], first + g);
        }
        block_kernels<T>().run(blocks, here);
      },
      us);
}

// One line of n numbers, given in full. The numbers may be the same memory.
template <class T>
void run_line(const LinePlan<T>& plan, Numbered<T> in, Numbered<T> out, bool inverse, double scale);

template <class T>
void convolve_line(const LinePlan<T>& plan, Numbered<T> in, Numbered<T> out, bool inverse,
                   double scale) {
  const int64_t n = plan.n, m = plan.inner->n;
  const Scratch<T> work(ScratchUse::left, size_t(2 * m));
  T* z = work.get();
  const auto& kernels = block_kernels<T>();
  constexpr int64_t kPiece = 16384;
  const auto each = [&](int64_t count, const auto& body) {
    parallel_for(
        pieces(count, kPiece),
        [&](int64_t i) { body(i * kPiece, std::min(count, (i + 1) * kPiece)); },
        double(count) * 1e-3);
  };
  each(m, [&](int64_t begin, int64_t end) {
    const int64_t given = std::clamp(n, begin, end);
    for (int64_t i = begin; i < given; ++i) {
      z[2 * i + inverse] = in.data[i * in.step];
      z[2 * i + !inverse] = in.data[i * in.step + in.imaginary];
    }
    kernels.multiply(z, plan.chirp.data(), begin, given);
    std::fill(z + 2 * given, z + 2 * end, T(0));
  });
  const Numbered<T> all{z, 2, 1};
  run_line(*plan.inner, all, all, false, 1);
  each(m,
       [&](int64_t begin, int64_t end) { kernels.multiply(z, plan.spectrum.data(), begin, end); });
  run_line(*plan.inner, all, all, true, 1);
  each(n, [&](int64_t begin, int64_t end) {
    kernels.multiply(z, plan.chirp.data(), begin, end);
    for (int64_t i = begin; i < end; ++i) {
      out.data[i * out.step] = z[2 * i + inverse] * T(scale);
      out.data[i * out.step + out.imaginary] = z[2 * i + !inverse] * T(scale);
    }
  });
}

template <class T>
void run_line(const LinePlan<T>& plan, Numbered<T> in, Numbered<T> out, bool inverse,
              double scale) {
  if (plan.inner) return convolve_line(plan, in, out, inverse, scale);
  constexpr int64_t kTile = kLanes<T> * kRow<T>;
  const int64_t n1 = plan.n1, n2 = plan.n2;
  const int64_t columns = pieces(n2, kLanes<T>), rows = pieces(n1, kLanes<T>);
  const Scratch<T> middle(ScratchUse::shared, size_t(columns * n1 * kRow<T> + kTile));
  T* const tiles = middle.get();
  std::fill_n(tiles + columns * n1 * kRow<T>, kTile, T(0));  // read, not used
  const double us = double(n1 * n2) * 2e-3;
  const bool far = n1 * n2 * int64_t(2 * sizeof(T)) > kNear;
  run_blocks<T>(*plan.first, columns, far, us, [&](Block<T>& block, int64_t i) {
    const int64_t first = i * kLanes<T>;
    block.inverse = inverse;
    block.in = lanes_of(in, first, std::min(kLanes<T>, n2 - first), n2, n1);
    block.tile = tiles + i * n1 * kRow<T>;
    block.twiddles = plan.twiddles.data();
    if (plan.blocks.empty()) block.twiddles += i * n1 * kRow<T>;
    else block.factors = plan.blocks.data() + 2 * i * n1;
  });
  run_blocks<T>(*plan.second, rows, far, us, [&](Block<T>& block, int64_t i) {
    const int64_t first = i * kLanes<T>;
    block.inverse = inverse;
    block.scale = scale;
    block.tiles = tiles + first * kRow<T>;
    block.tile_step = n1 * kRow<T>;
    block.out = lanes_of(out, first, std::min(kLanes<T>, n1 - first), n1, n2);
  });
}

template <class T>
class Axis {
 public:
  explicit Axis(const AxisTransform<T>& t)
      : t_(t), half_(t.numbers != Numbers::complex && t.n % 2 == 0), lines_(numel(t.shape)) {}

  void run() {
    if (lines_ == 0) return;
    const int64_t length = half_ ? t_.n / 2 : t_.n;
    if (half_) twiddles_ = real_twiddles<T>(t_.n);
    const int64_t blocks = pieces(lines_, kLanes<T>);
    // Lines along the last axis have to be transposed to be worked on side by side, others to be
    // worked on alone. That they usually have, that is: where numbers lie must not change a bit.
    Costs costs = plan_costs<T>(length);
    if (t_.last) costs.column += kTransposeCost * double(length);
    else costs.line += kStrideCost * double(length) / double(kLanes<T>);
    if (double(blocks) * costs.column <= double(lines_) * costs.line) {
      column_ = column_plan<T>(length);
      const int64_t step = std::max(std::abs(t_.in_step), std::abs(t_.out_step));
      run_blocks<T>(*column_, blocks, step > 2 && length * step * int64_t(sizeof(T)) > kNear,
                    double(blocks) * costs.column * 1e-3,
                    [&](Block<T>& block, int64_t i) { describe_block(block, i); });
    } else {
      line_ = line_plan<T>(length);
      const double us = costs.line * 1e-3;
      if (std::max(std::abs(t_.in_step), std::abs(t_.out_step)) > 2 && lines_ > 2) {
        for (int64_t i = 0; i < blocks; ++i) run_copies(i, us);
      } else {
        run_each(us);
      }
    }
    // By way of complex numbers, the sum of a real line has an imaginary part that rounding left.
    if (t_.numbers == Numbers::to_complex && !half_)
      for (int64_t i = 0; i < lines_; ++i) t_.out[offsets(i).second + 1] = 0;
  }

 private:
  void run_each(double us) const {
    const auto body = [&](int64_t i) { run_alone(i); };
    // Long lines are cut themselves.
    if (us > 200 && lines_ < 64)
      for (int64_t i = 0; i < lines_; ++i) body(i);
    else parallel_for(lines_, body, us * double(lines_));
  }

  // kLanes lines as contiguous copies.
  void run_copies(int64_t i, double us) const {
    Block<T> block;
    describe_block(block, i);
    AxisTransform<T> t = t_;
    t.shape = {block.in.lanes};
    t.in_step = t_.numbers == Numbers::to_complex ? 1 : 2;
    t.out_step = t_.numbers == Numbers::to_real ? 1 : 2;
    t.in_strides = {2 * block.in.reals};
    t.out_strides = {2 * block.out.reals};
    const Scratch<T> in(ScratchUse::columns, size_t(block.in.lanes * t.in_strides[0]));
    const Scratch<T> out(ScratchUse::partials, size_t(block.in.lanes * t.out_strides[0]));
    t.in = in.get();
    t.out = out.get();
    Axis lines(t);
    lines.twiddles_ = twiddles_;
    lines.line_ = line_;
    Block<T> dense;
    lines.describe_block(dense, 0);
    copy(block.in, dense.in);
    lines.run_each(us);
    copy(dense.out, block.out);
  }
  static void copy(const Lines<T>& from, const Lines<T>& to) {
    constexpr int64_t kPiece = 1024;
    parallel_for(
        pieces(to.reals, kPiece),
        [&](int64_t i) {
          block_kernels<T>().copy(from, to, i * kPiece, std::min(to.reals, (i + 1) * kPiece));
        },
        double(to.reals) * kStrideCost * 1e-3);
  }

  std::pair<int64_t, int64_t> offsets(int64_t line) const {
    int64_t in = 0, out = 0;
    for (size_t a = t_.shape.size(); a-- > 0;) {
      const int64_t at = line % t_.shape[a];
      line /= t_.shape[a];
      in += at * t_.in_strides[a];
      out += at * t_.out_strides[a];
    }
    return {in, out};
  }

  // What an input line has and an output line takes, as real and imaginary parts of numbers.
  void describe(Lines<T>& in, Lines<T>& out) const {
    const int64_t n = t_.n, given = t_.count;
    in.step = t_.in_step;
    out.step = t_.out_step;
    const auto pairs = [](Lines<T>& side, int64_t step, int64_t count) {
      side.step = 2 * step;
      side.imaginary = step;
      side.reals = (count + 1) / 2;
      side.imaginaries = count / 2;
    };
    const auto numbers = [](Lines<T>& side, int64_t reals, int64_t imaginaries) {
      side.reals = reals;
      side.imaginaries = imaginaries;
    };
    switch (t_.numbers) {
      case Numbers::complex:
        numbers(in, std::min(given, n), std::min(given, n));
        return numbers(out, n, n);
      case Numbers::to_complex:
        if (half_) pairs(in, t_.in_step, std::min(given, n));
        else numbers(in, std::min(given, n), 0);
        return numbers(out, n / 2 + 1, n / 2 + 1);
      case Numbers::to_real:
        numbers(in, std::min(given, n / 2 + 1), std::min(given, n / 2 + 1));
        if (half_) pairs(out, t_.out_step, n);
        else numbers(out, n, 0);
    }
  }

  void describe_block(Block<T>& block, int64_t i) const {
    block.scale = t_.scale;
    block.inverse = t_.numbers == Numbers::to_real || t_.inverse;
    if (t_.numbers == Numbers::to_complex) block.real = half_ ? Real::forward : Real::none;
    if (t_.numbers == Numbers::to_real) block.real = half_ ? Real::backward : Real::backward_odd;
    if (half_) block.real_twiddles = twiddles_->data();
    describe(block.in, block.out);
    block.in.data = const_cast<T*>(t_.in);
    block.out.data = t_.out;
    const int64_t first = i * kLanes<T>;
    block.in.lanes = block.out.lanes = std::min(kLanes<T>, lines_ - first);
    for (int64_t l = 0; l < block.in.lanes; ++l)
      std::tie(block.in.lane[l], block.out.lane[l]) = offsets(first + l);
  }

  void run_alone(int64_t i) const {
    const auto [in_at, out_at] = offsets(i);
    Lines<T> in, out;
    describe(in, out);
    in.data = const_cast<T*>(t_.in) + in_at;
    out.data = t_.out + out_at;
    if (t_.numbers == Numbers::complex) return run_complex(in, out);
    if (t_.numbers == Numbers::to_complex) return half_ ? run_pairs(in, out) : run_odd(in, out);
    return half_ ? run_to_pairs(in, out) : run_to_odd(in, out);
  }

  // `count` numbers of a line as contiguous complex ones, zeros where it has none.
  static void copy_in(const Lines<T>& in, int64_t count, T* z) {
    for (int64_t k = 0; k < count; ++k) {
      z[2 * k] = k < in.reals ? in.data[k * in.step] : T(0);
      z[2 * k + 1] = k < in.imaginaries ? in.data[k * in.step + in.imaginary] : T(0);
    }
  }
  static void copy_out(const T* z, T scale, const Lines<T>& out) {
    for (int64_t k = 0; k < out.reals; ++k) out.data[k * out.step] = z[2 * k] * scale;
    for (int64_t k = 0; k < out.imaginaries; ++k)
      out.data[k * out.step + out.imaginary] = z[2 * k + 1] * scale;
  }
  static Numbered<T> numbered(const Lines<T>& line) {
    return {line.data, line.step, line.imaginary};
  }
  static bool dense(const Lines<T>& line) { return line.step == 2 && line.imaginary == 1; }

  // The line itself, or a copy that has all its numbers.
  template <class F>
  void with_all(const Lines<T>& in, int64_t count, const F& f) const {
    if (in.reals == count && in.imaginaries == count) return f(numbered(in));
    const Scratch<T> copy(ScratchUse::right, size_t(2 * count));
    copy_in(in, count, copy.get());
    f(Numbered<T>{copy.get(), 2, 1});
  }

  void run_complex(const Lines<T>& in, const Lines<T>& out) const {
    with_all(in, t_.n,
             [&](Numbered<T> all) { run_line(*line_, all, numbered(out), t_.inverse, t_.scale); });
  }

  // Numbers k and half - k, for pieces of [0, half / 2].
  template <class F>
  static void in_pieces(int64_t half, const F& f) {
    constexpr int64_t kPiece = 8192;
    const int64_t end = half / 2 + 1;
    parallel_for(
        pieces(end, kPiece), [&](int64_t i) { f(i * kPiece, std::min(end, (i + 1) * kPiece)); },
        double(end) * 1e-3);
  }

  void run_pairs(const Lines<T>& in, const Lines<T>& out) const {
    const int64_t half = t_.n / 2;
    const auto into = [&](T* z) {
      with_all(in, half, [&](Numbered<T> all) {
        run_line(*line_, all, Numbered<T>{z, 2, 1}, false, t_.scale);
      });
      in_pieces(half, [&](int64_t begin, int64_t end) {
        block_kernels<T>().untangle(z, twiddles_->data(), half, begin, end);
      });
    };
    if (dense(out)) return into(out.data);
    const Scratch<T> z(ScratchUse::planes, size_t(2 * half + 2));
    into(z.get());
    copy_out(z.get(), 1, out);
  }

  void run_to_pairs(const Lines<T>& in, const Lines<T>& out) const {
    const int64_t half = t_.n / 2;
    const Scratch<T> z(ScratchUse::planes, size_t(2 * half));
    const auto from = [&](const T* x) {
      in_pieces(half, [&](int64_t begin, int64_t end) {
        block_kernels<T>().tangle(x, z.get(), twiddles_->data(), half, begin, end);
      });
    };
    if (dense(in) && in.reals == half + 1) {
      from(in.data);
    } else {
      const Scratch<T> copy(ScratchUse::right, size_t(2 * half + 2));
      copy_in(in, half + 1, copy.get());
      from(copy.get());
    }
    run_line(*line_, Numbered<T>{z.get(), 2, 1}, numbered(out), true, t_.scale);
  }

  void run_odd(const Lines<T>& in, const Lines<T>& out) const {
    const Scratch<T> z(ScratchUse::planes, size_t(2 * t_.n));
    copy_in(in, t_.n, z.get());
    const Numbered<T> all{z.get(), 2, 1};
    run_line(*line_, all, all, false, 1);
    copy_out(z.get(), T(t_.scale), out);
  }

  void run_to_odd(const Lines<T>& in, const Lines<T>& out) const {
    const Scratch<T> z(ScratchUse::planes, size_t(2 * t_.n));
    T* x = z.get();
    copy_in(in, t_.n / 2 + 1, x);
    x[1] = 0;
    for (int64_t k = 1; k <= t_.n / 2; ++k) {
      x[2 * (t_.n - k)] = x[2 * k];
      x[2 * (t_.n - k) + 1] = -x[2 * k + 1];
    }
    const Numbered<T> all{x, 2, 1};
    run_line(*line_, all, all, true, 1);
    copy_out(x, T(t_.scale), out);
  }

  const AxisTransform<T>& t_;
  const bool half_;  // by way of n / 2 pairs
  const int64_t lines_;
  std::shared_ptr<const std::vector<T>> twiddles_;
  std::shared_ptr<const ColumnPlan<T>> column_;
  std::shared_ptr<const LinePlan<T>> line_;
};

}  // namespace

template <class T>
void transform_axis(const AxisTransform<T>& t) {
  Axis<T>(t).run();
}
template void transform_axis<float>(const AxisTransform<float>&);
template void transform_axis<double>(const AxisTransform<double>&);

template <class T>
void transform_line(const LinePlan<T>& plan, T* z) {
  const Numbered<T> all{z, 2, 1};
  run_line(plan, all, all, false, 1);
}
template void transform_line<float>(const LinePlan<float>&, float*);
template void transform_line<double>(const LinePlan<double>&, double*);

}  // namespace tegula::cpu::fft
