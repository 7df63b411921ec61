# How every C++ file of Tegula is compiled, as an interface target to link.
add_library(tegula_flags INTERFACE)
target_compile_features(tegula_flags INTERFACE cxx_std_20)
# No multiply-add contraction across primitives: fused and unfused must give the same bits.
target_compile_options(tegula_flags INTERFACE
  -fno-math-errno -ffp-contract=off -fvisibility=hidden -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 suspects std::string's own operator+ (its bug 105329).
  target_compile_options(tegula_flags INTERFACE -Wno-restrict)
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(TEGULA_SANITIZE)
  # Assertions on; lightly optimised, since instrumented kernels at -O3 take minutes to compile.
  target_compile_options(tegula_flags INTERFACE -O1 -UNDEBUG -g1 -fno-omit-frame-pointer
    -fsanitize=${TEGULA_SANITIZE} -fno-sanitize-recover=all)
  # GCC misreads Highway's vectors in instrumented code.
  target_compile_options(tegula_flags INTERFACE -Wno-maybe-uninitialized)
  target_link_options(tegula_flags INTERFACE -fsanitize=${TEGULA_SANITIZE})
endif()

if(TEGULA_DISABLED_TARGETS)
  target_compile_definitions(tegula_flags INTERFACE
    "TEGULA_DISABLED_TARGETS=(${TEGULA_DISABLED_TARGETS})")
endif()
