// tegula_bench: runs and times steps of the CPU back end alone, as its plans would, and measures
// the machine's limits. Build: bash scripts/build.sh -DTEGULA_BENCH=ON. It reads commands from
// stdin, one a line (# starts a comment), and answers each with one line, "ok ..." or "error ...".
//
//   conv direct                                    or winograd2, winograd4: for 3 x 3 convolutions
//   threads 2                                      for this process, as the pool counts them
//   tensor a float32 512,384 [strides 1,512]       zeros; a scalar's shape is -
//   load a FILE.npy     save c FILE                row-major; what is saved has no header
//   fill a -1 1                                    uniform random numbers
//   step matmul a b -> c [attrs 0,1] [dynamic 7,0] appends a step: a kind of the kernel tables
//   tile a b -> c                                  the same for a tile program, which follows in
//   ... end                                        its text form (docs/tile-format.md)
//   record x w -> y                                the steps of the plan of operations, which
//   follow
//   ... end                                        one a line (recorded.h): y = softmax x -1
//   run                                            all steps in order
//   time 0.5                                       -> ok MEDIAN LOW HIGH (seconds a run) RUNS
//   limit fma avx512.f32 0.1                       -> ok MEDIAN LOW HIGH (10^9 a second);
//   machine_limits.h isa                                            -> ok avx512 steps, clear
//   forgets the steps; the tensors too
//
// So `printf 'tensor a float32 512,512\ntensor b float32 512,512\ntensor c float32 512,512\nfill a
// -1 1\nfill b -1 1\nstep matmul a b -> c attrs 0,0\nthreads 1\ntime 0.5\n' | tegula_bench` times a
// product. Several `step` lines make a sequence, timed as one (a forward and a backward pass).
#include <iostream>
#include <sstream>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/conv_algorithm.h"
#include "backend/cpu/isa.h"
#include "machine_limits.h"
#include "plan/evaluate.h"
#include "runtime/thread_pool.h"
#include "workbench.h"

namespace tegula::bench {
namespace {

// "3,4" as numbers; "-" for none.
template <class List>
List numbers(const std::string& text) {
  List out;
  if (text == "-") return out;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    size_t used = 0;
    out.push_back(std::stoll(word, &used));
    require(used == word.size(), "'", word, "' is no whole number");
  }
  return out;
}

// What stands after a command: words, taken one by one.
class Words {
 public:
  explicit Words(const std::string& line) : in_(line) {}
  bool next(std::string& word) { return bool(in_ >> word); }
  std::string take(const char* what) {
    std::string word;
    require(next(word), "missing: ", what);
    return word;
  }
  double number(const char* what) { return std::stod(take(what)); }

 private:
  std::istringstream in_;
};

// "a b -> c" and then options, each a word and its numbers.
struct Operands {
  std::vector<std::string> inputs, outputs;
  Attrs attrs;
  std::vector<int64_t> dynamic;

  explicit Operands(Words& words) {
    bool after = false;
    for (std::string word; words.next(word);) {
      if (word == "->") after = true;
      else if (word == "attrs") attrs = numbers<Attrs>(words.take("attribute words"));
      else if (word == "dynamic") dynamic = numbers<std::vector<int64_t>>(words.take("words"));
      else (after ? outputs : inputs).push_back(word);
    }
  }
};

std::vector<std::string> lines_to_end(std::istream& in) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line == "end") return lines;
    lines.push_back(line);
  }
  fail(ErrorKind::value, "no line says 'end'");
}

std::string to_words(const Timing& timing) {
  std::ostringstream out;
  out.precision(6);
  out << timing.median << ' ' << timing.low << ' ' << timing.high << ' ' << timing.calls;
  return out.str();
}

// Does what a line says; returns what to say after "ok".
std::string obey(const std::string& command, Words& words, std::istream& in, Workbench& bench) {
  if (command == "tensor") {
    const std::string name = words.take("name"), dtype = words.take("dtype");
    const auto shape = numbers<Shape>(words.take("shape"));
    Strides strides = contiguous_strides(shape);
    if (std::string word; words.next(word)) {
      require(word == "strides", "tensor: 'strides' expected, got '", word, "'");
      strides = numbers<Strides>(words.take("strides"));
    }
    bench.add_tensor(name, dtype_named(dtype), shape, strides);
  } else if (command == "load") {
    const std::string name = words.take("name");
    bench.load(name, words.take("file"));
  } else if (command == "save") {
    const std::string name = words.take("name");
    bench.save(name, words.take("file"));
  } else if (command == "fill") {
    const std::string name = words.take("name");
    const double low = words.number("low");
    bench.fill(name, low, words.number("high"));
  } else if (command == "step") {
    const std::string kind = words.take("kind");
    const Operands operands(words);
    bench.add_step(kind, operands.inputs, operands.outputs, operands.attrs, operands.dynamic);
  } else if (command == "tile") {
    const Operands operands(words);
    std::string text;
    for (const std::string& line : lines_to_end(in)) text += line + '\n';
    bench.add_tile(text, operands.inputs, operands.outputs);
  } else if (command == "record") {
    const Operands operands(words);
    bench.add_recorded(lines_to_end(in), operands.inputs, operands.outputs);
  } else if (command == "run") {
    bench.run();
  } else if (command == "time") {
    return to_words(time_calls([&] { bench.run(); }, words.number("seconds")));
  } else if (command == "limit") {
    const std::string kind = words.take("kind"), what = words.take("what");
    return to_words(measure_limit(kind, what, words.number("seconds")));
  } else if (command == "threads") {
    set_num_threads(int(words.number("count")));
  } else if (command == "conv") {
    cpu::set_conv_algorithm(cpu::parse_conv_algorithm(words.take("name"), "conv"));
  } else if (command == "isa") {
    return cpu::isa_name();
  } else if (command == "steps") {
    bench.clear_steps();
  } else if (command == "clear") {
    bench.clear();
  } else {
    fail(ErrorKind::value, "unknown command '", command, "'");
  }
  return "";
}

std::string answer(const std::string& line, std::istream& in, Workbench& bench) {
  Words words(line);
  try {
    const std::string said = obey(words.take("command"), words, in, bench);
    return said.empty() ? "ok" : "ok " + said;
  } catch (const Error& error) {
    return std::string(error.kind() == ErrorKind::unsupported ? "unsupported " : "error ") +
           error.what();
  } catch (const std::exception& error) {
    return std::string("error ") + error.what();
  }
}

}  // namespace
}  // namespace tegula::bench

int main() {
  try {
    tegula::register_cpu_backend();
    tegula::install_evaluator();
    tegula::bench::Workbench bench;
    for (std::string line; std::getline(std::cin, line);)
      if (!line.empty() && line[0] != '#')
        std::cout << tegula::bench::answer(line, std::cin, bench) << std::endl;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
