# What every folder's CMakeLists.txt uses: compile settings, and lab_library / lab_program / lab_tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

option(LAB_TESTS "build the test programs" OFF)
option(LAB_STATIC_DAEMONS "link engined and swarmd statically: one file for any guest" OFF)
set(LAB_SANITIZE "" CACHE STRING "value of -fsanitize=")

find_program(LAB_CCACHE ccache)
if(LAB_CCACHE)
  # The base directory is cut out of the hash, so that work trees side by side share results.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${LAB_CCACHE})
endif()

# Linking is a third of an incremental build with the default linker.
find_program(LAB_MOLD mold)
if(LAB_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_definitions(LAB_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers -fpch-preprocess)
# Assertions stay on, and -O3 costs more build time than it gives here.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-g1)
else()
  # g++ 12.2 reports null dereferences and dangling uses inside inlined coroutine frames that do not exist.
  add_compile_options(-Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow
    -Wno-stringop-overread -Wno-mismatched-new-delete -Wno-restrict -Wno-null-dereference)
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
if(LAB_SANITIZE)
  add_compile_options(-fsanitize=${LAB_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LAB_SANITIZE})
  if(LAB_SANITIZE MATCHES "thread")
    # Asio's fences are not seen by the sanitizer; its own locks and atomics are.
    add_compile_options(-Wno-tsan)
  endif()
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)

# lab_library(NAME [DEPS target...]): the library `lab_NAME` of the calling folder, from its sources.
# Sub-folders belong to it, except those named in EXCLUDE.
function(lab_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${CMAKE_CURRENT_SOURCE_DIR}/${pattern}")
  endforeach()
  if(NOT sources)
    add_library(lab_${name} INTERFACE)
    target_link_libraries(lab_${name} INTERFACE ${ARG_DEPS})
    return()
  endif()
  add_library(lab_${name} STATIC ${sources})
  target_include_directories(lab_${name} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_link_libraries(lab_${name} PUBLIC ${ARG_DEPS})
  if(NOT name STREQUAL "base")
    target_precompile_headers(lab_${name} REUSE_FROM lab_base)
  endif()
endfunction()

# lab_program(NAME SOURCES file... DEPS target... [STATIC_DAEMON] [PCH header...])
# PCH: precompiled for this program besides the headers that are so for all.
function(lab_program name)
  cmake_parse_arguments(ARG "STATIC_DAEMON" "" "SOURCES;DEPS;PCH" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  if(ARG_PCH)
    target_precompile_headers(${name} PRIVATE "${CMAKE_SOURCE_DIR}/base/pch.hpp" ${ARG_PCH})
  else()
    target_precompile_headers(${name} REUSE_FROM lab_base)
  endif()
  if(ARG_STATIC_DAEMON AND LAB_STATIC_DAEMONS)
    # The linker warns of getaddrinfo, which may load NSS modules. Never -Wl,--no-warnings against that: it hides
    # undefined symbols as well, and the program then calls address 0.
    # Nor mold, which takes a shared library into a static program without a word.
    target_link_options(${name} PRIVATE -static -fuse-ld=bfd)
  endif()
endfunction()
