#include "engine/util/go_json.hpp"

#include <gtest/gtest.h>

namespace lab::engine {
namespace {

std::string error_of(std::string_view text) {
  const auto decoded = decode_go_json(text);
  return decoded.has_error() ? decoded.error().message : "";
}

TEST(GoJson, NamesWhatIsWrongAsGoDoes) {
  EXPECT_EQ(error_of(" \n"), "EOF");
  EXPECT_EQ(error_of("{"), "unexpected EOF");
  EXPECT_EQ(error_of("[1,"), "unexpected EOF");
  EXPECT_EQ(error_of("bad"), "invalid character 'b' looking for beginning of value");
  EXPECT_EQ(error_of("{1}"), "invalid character '1' looking for beginning of object key string");
  EXPECT_EQ(error_of(R"({"a" 1})"), "invalid character '1' after object key");
  EXPECT_EQ(error_of(R"({"a":1 "b"})"), R"(invalid character '"' after object key:value pair)");
  EXPECT_EQ(error_of("[1 2]"), "invalid character '2' after array element");
  EXPECT_EQ(error_of("trux"), "invalid character 'x' in literal true (expecting 'e')");
  EXPECT_EQ(error_of("\"a\nb\""), "invalid character '\\n' in string literal");
  EXPECT_EQ(error_of(R"("\x")"), "invalid character 'x' in string escape code");
  EXPECT_EQ(error_of("-x"), "invalid character 'x' in numeric literal");
}

TEST(GoJson, RefusesWhatIsNestedWithoutEnd) {
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "exceeded max depth");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  EXPECT_EQ(error_of(objects), "exceeded max depth");
}

TEST(GoJson, DecodesTheFirstValueOnly) {
  EXPECT_EQ(decode_go_json("{} junk").value(), boost::json::object());
  EXPECT_EQ(decode_go_json(R"(["\u00e4", -1.5e3])").value().as_array().size(), 2U);
}

constexpr std::string_view declarations = R"(
duration int64
app.Inner struct {
  Wait duration
  Names []string
}
app.Outer struct {
  Inner *app.Inner
  Small uint16
  Words strslice.StrSlice
  Set map[string]struct {}
  All map[string]app.Inner
}
)";

std::string misfit(std::string_view text) {
  boost::json::value value = decode_go_json(text).value();
  const auto checked = check_go_type(declarations, "app.Outer", value);
  constexpr std::string_view beginning = "json: cannot unmarshal ";
  return checked.has_error() ? checked.error().message.substr(beginning.size()) : "";
}

TEST(GoJson, FindsFieldsWhateverTheirCase) {
  auto value = decode_go_json(R"({"SMALL": 1, "inner": {"wait": 5, "other": 0}})").value();
  ASSERT_TRUE(check_go_type(declarations, "app.Outer", value));
  EXPECT_EQ(value, decode_go_json(R"({"Small": 1, "Inner": {"Wait": 5, "other": 0}})").value());
}

TEST(GoJson, ChecksTypesAsGoDoes) {
  EXPECT_EQ(misfit("null"), "");
  EXPECT_EQ(misfit(R"({"inner": {"wait": 5, "Names": null, "More": []}, "Small": 7})"), "");
  EXPECT_EQ(misfit(R"({"Words": "one", "Set": {"a": {}}, "All": {"x": {"Wait": 1}}})"), "");
  EXPECT_EQ(misfit("[]"), "array into Go value of type app.Outer");
  EXPECT_EQ(misfit(R"({"Inner": {"Wait": "1s"}})"),
            "string into Go struct field Inner.Inner.Wait of type duration");
  EXPECT_EQ(misfit(R"({"Inner": {"Names": [1]}})"),
            "number into Go struct field Inner.Inner.Names of type string");
  EXPECT_EQ(misfit(R"({"Small": 70000})"),
            "number 70000 into Go struct field Outer.Small of type uint16");
  EXPECT_EQ(misfit(R"({"Small": 1.5})"),
            "number 1.5 into Go struct field Outer.Small of type uint16");
  EXPECT_EQ(misfit(R"({"Words": 5})"), "number into Go struct field Outer.Words of type string");
  EXPECT_EQ(misfit(R"({"Set": ["a"]})"),
            "array into Go struct field Outer.Set of type map[string]struct {}");
  EXPECT_EQ(misfit(R"({"All": {"x": {"Wait": true}}})"),
            "bool into Go struct field Inner.All.Wait of type duration");
}

}  // namespace
}  // namespace lab::engine
