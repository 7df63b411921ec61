# The C++ tests: one doctest executable.
find_path(TEGULA_DOCTEST_INCLUDE doctest/doctest.h)
if(NOT TEGULA_DOCTEST_INCLUDE)
  message(FATAL_ERROR "The C++ tests need doctest: install Debian's doctest-dev, or pass "
    "-DTEGULA_DOCTEST_INCLUDE=<the folder that holds doctest/doctest.h>.")
endif()
file(GLOB TEGULA_TEST_SOURCES CONFIGURE_DEPENDS tests/cpp/*.cc)
if(NOT TEGULA_TEST_SOURCES)
  message(WARNING "tests/cpp/ holds no source files: there is no tegula_tests to build.")
  return()
endif()
add_executable(tegula_tests ${TEGULA_TEST_SOURCES})
target_include_directories(tegula_tests SYSTEM PRIVATE "${TEGULA_DOCTEST_INCLUDE}")
target_link_libraries(tegula_tests PRIVATE ${TEGULA_CORE})
