# lab_embed_catalogue(SOURCE_VAR): compiles the program of the image hello-world and makes a source
# file that holds it and every recipe file, so that the lab's programs need nothing beside them.
# The paths of the generated file's names are "common.sh" and "IMAGE/FILE".
function(lab_embed_catalogue source_variable)
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/catalogue")
  set(hello "${CMAKE_CURRENT_BINARY_DIR}/hello")
  add_custom_command(OUTPUT "${hello}"
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -Os -Wall -Wextra -Werror -ffreestanding -fno-pic -no-pie
      -nostdlib -static -fno-asynchronous-unwind-tables -fno-stack-protector -Wl,--build-id=none
      -Wl,-z,noseparate-code -Wl,-z,norelro -s -o "${hello}" "${folder}/hello-world/hello.cc"
    DEPENDS "${folder}/hello-world/hello.cc" COMMENT "Compiling the program of image hello-world" VERBATIM)

  file(GLOB names RELATIVE "${folder}" CONFIGURE_DEPENDS "${folder}/common.sh" "${folder}/*/*")
  list(FILTER names EXCLUDE REGEX "\\.cc$")
  set(paths "")
  foreach(name IN LISTS names)
    list(APPEND paths "${folder}/${name}")
  endforeach()
  list(APPEND names "hello-world/hello")
  list(APPEND paths "${hello}")

  set(data "")
  set(symbols "")
  set(table "")
  set(number 0)
  foreach(name path IN ZIP_LISTS names paths)
    set(symbol "lab_catalogue_${number}")
    string(APPEND data ".globl ${symbol}\\n${symbol}:\\n.incbin \\\"${path}\\\"\\n"
      ".globl ${symbol}_end\\n${symbol}_end:\\n")
    string(APPEND symbols "extern const char ${symbol}[], ${symbol}_end[];\n")
    string(APPEND table "      {\"${name}\", {${symbol}, std::size_t(${symbol}_end - ${symbol})}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/catalogue_files.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
// Made by provision/catalogue/embed.cmake.
#include "provision/catalogue_recipe.hpp"

asm(".pushsection .rodata\n@data@.popsection\n");

extern "C" {
@symbols@}

namespace lab::provision {

const std::map<std::string, std::string_view>& catalogue_files() {
  static const std::map<std::string, std::string_view> files = {
@table@  };
  return files;
}

}  // namespace lab::provision
]])
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${paths}")
  set(${source_variable} "${source}" PARENT_SCOPE)
endfunction()
