# The kernel harness of the benchmarks.
file(GLOB TEGULA_BENCH_SOURCES CONFIGURE_DEPENDS benchmarks/kernels/*.cc)
add_executable(tegula_bench ${TEGULA_BENCH_SOURCES})
target_include_directories(tegula_bench PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(tegula_bench PRIVATE ${TEGULA_CORE})
# The loops that measure the machine's limits know their instruction set when they are compiled; a
# loop that copies must stay one.
set(flags -ffp-contract=fast -fno-tree-loop-distribute-patterns)
set(folder benchmarks/kernels)
set_source_files_properties(${folder}/limit_loops_baseline.cc PROPERTIES COMPILE_OPTIONS "${flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${folder}/limit_loops_avx2.cc PROPERTIES
    COMPILE_OPTIONS "${flags};-mavx2;-mfma")
  set_source_files_properties(${folder}/limit_loops_avx512.cc PROPERTIES
    COMPILE_OPTIONS "${flags};-mavx512f;-mprefer-vector-width=512")
endif()
