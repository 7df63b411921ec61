# The Python extension tegula/_core and its type stub.
file(GLOB TEGULA_PYTHON_SOURCES CONFIGURE_DEPENDS src/python/*.cc)
if(NOT TEGULA_PYTHON_SOURCES)
  message(WARNING "src/python/ holds no source files: building the engine without its Python "
    "extension (tegula/_core).")
  return()
endif()

find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
  OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE nanobind_ROOT RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no nanobind: run `make setup`, or `pip install` "
    "the build requirements named in pyproject.toml.")
endif()
find_package(nanobind CONFIG REQUIRED)

# NOMINSIZE: the recording path is hot, and nanobind would otherwise compile it for size.
# NOSTRIP: the wheel is stripped when it is installed; a developer keeps the symbols.
nanobind_add_module(_core NB_STATIC NOMINSIZE NOSTRIP ${TEGULA_PYTHON_SOURCES})
target_link_libraries(_core PRIVATE ${TEGULA_CORE})
target_compile_definitions(_core PRIVATE TEGULA_VERSION="${TEGULA_VERSION}")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # Only PyInit__core is for others to see; unused code goes.
  target_link_options(_core PRIVATE -Wl,--exclude-libs,ALL -Wl,--gc-sections)
endif()

if(TEGULA_INPLACE)
  set(stub_directory "${CMAKE_CURRENT_SOURCE_DIR}/tegula")
  set_target_properties(_core PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${stub_directory}")
else()
  set(stub_directory "${CMAKE_CURRENT_BINARY_DIR}")
endif()
install(TARGETS _core LIBRARY DESTINATION tegula)

# The stub is read off the built module, so it needs a module that this Python can load.
if(NOT CMAKE_CROSSCOMPILING AND NOT TEGULA_SANITIZE)
  set(stub "${stub_directory}/_core.pyi")
  add_custom_command(OUTPUT "${stub}"
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/scripts/make_stubs.py"
      "$<TARGET_FILE:_core>" "${stub}"
    DEPENDS _core "${CMAKE_CURRENT_SOURCE_DIR}/scripts/make_stubs.py"
      "${CMAKE_CURRENT_SOURCE_DIR}/scripts/core_head.pyi.in"
    COMMENT "Writing the type stub _core.pyi" VERBATIM)
  add_custom_target(tegula_stub ALL DEPENDS "${stub}")
  install(FILES "${stub}" DESTINATION tegula)
endif()
