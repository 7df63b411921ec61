# Google Highway: headers only. The functions of its library are in
# src/backend/cpu/highway_runtime.cc, so that the wheel needs no libhwy at run time.
find_path(TEGULA_HIGHWAY_INCLUDE hwy/highway.h)
if(NOT TEGULA_HIGHWAY_INCLUDE)
  message(FATAL_ERROR "Tegula needs Google Highway's headers: install Debian's libhwy-dev, or pass "
    "-DTEGULA_HIGHWAY_INCLUDE=<the folder that holds hwy/highway.h>.")
endif()
add_library(tegula_highway INTERFACE)
target_include_directories(tegula_highway SYSTEM INTERFACE "${TEGULA_HIGHWAY_INCLUDE}")
