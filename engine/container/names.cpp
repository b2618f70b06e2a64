#include "engine/container/names.hpp"

#include <algorithm>
#include <iterator>

namespace lab::engine::container {

namespace {

constexpr std::string_view adjectives[] = {
    "admiring",   "agile",     "amazing",     "ardent",    "awesome",    "blissful",  "bold",
    "brave",      "bright",    "busy",        "calm",      "charming",   "clever",    "cool",
    "curious",    "dazzling",  "dreamy",      "eager",     "ecstatic",   "elated",    "elegant",
    "epic",       "exciting",  "fervent",     "festive",   "flamboyant", "focused",   "friendly",
    "frosty",     "gallant",   "gentle",      "gifted",    "goofy",      "gracious",  "happy",
    "hardcore",   "heuristic", "hopeful",     "humble",    "infallible", "inspiring", "intelligent",
    "jolly",      "jovial",    "keen",        "kind",      "laughing",   "loving",    "lucid",
    "magical",    "modest",    "musing",      "nice",      "nifty",      "nostalgic", "objective",
    "optimistic", "peaceful",  "pedantic",    "pensive",   "practical",  "priceless", "quirky",
    "quizzical",  "relaxed",   "reverent",    "romantic",  "serene",     "sharp",     "silly",
    "sleepy",     "stoic",     "strange",     "stupefied", "suspicious", "sweet",     "tender",
    "thirsty",    "trusting",  "unruffled",   "upbeat",    "vibrant",    "vigilant",  "vigorous",
    "wizardly",   "wonderful", "xenodochial", "youthful",  "zealous",    "zen"};

constexpr std::string_view surnames[] = {
    "abel",        "agnesi",    "allen",        "archimedes", "aryabhata",     "babbage",
    "banach",      "bardeen",   "bartik",       "bassi",      "bell",          "bhaskara",
    "blackwell",   "bohr",      "boole",        "borg",       "bose",          "brahmagupta",
    "burnell",     "cannon",    "carson",       "cerf",       "chandrasekhar", "clarke",
    "colden",      "cori",      "cray",         "curie",      "curran",        "darwin",
    "davinci",     "diffie",    "dijkstra",     "einstein",   "elion",         "engelbart",
    "euclid",      "euler",     "faraday",      "fermat",     "fermi",         "feynman",
    "franklin",    "galileo",   "galois",       "gates",      "gauss",         "germain",
    "goldberg",    "goldstine", "goodall",      "hamilton",   "haslett",       "hawking",
    "heisenberg",  "hellman",   "hermann",      "hertz",      "hopper",        "hugle",
    "hypatia",     "jackson",   "jang",         "jennings",   "jepsen",        "johnson",
    "joliot",      "kalam",     "kare",         "keller",     "kepler",        "khorana",
    "kilby",       "knuth",     "kowalevski",   "lalande",    "lamarr",        "lamport",
    "leakey",      "leavitt",   "lewin",        "liskov",     "lovelace",      "lumiere",
    "mahavira",    "maxwell",   "mayer",        "mccarthy",   "mcclintock",    "mclean",
    "meitner",     "mendel",    "mendeleev",    "mestorf",    "mirzakhani",    "montalcini",
    "moore",       "morse",     "murdock",      "napier",     "nash",          "newton",
    "nightingale", "nobel",     "noether",      "northcutt",  "noyce",         "panini",
    "pascal",      "pasteur",   "payne",        "perlman",    "pike",          "planck",
    "poincare",    "poitras",   "ptolemy",      "raman",      "ramanujan",     "ride",
    "ritchie",     "roentgen",  "rosalind",     "rubin",      "saha",          "sammet",
    "shannon",     "shaw",      "shockley",     "sinoussi",   "snyder",        "spence",
    "stonebraker", "swanson",   "swartz",       "swirles",    "tesla",         "thompson",
    "torvalds",    "turing",    "varahamihira", "villani",    "volhard",       "wescoff",
    "wiles",       "williams",  "wilson",       "wing",       "wozniak",       "wright",
    "yalow",       "yonath"};

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string random_name(Random& random, int attempt) {
  std::string name(adjectives[random.below(std::size(adjectives))]);
  name += '_';
  name += surnames[random.below(std::size(surnames))];
  if (attempt > 0) name += static_cast<char>('0' + random.below(10));
  return name;
}

bool is_valid_name(std::string_view name) {
  return name.size() >= 2 && is_letter_or_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-';
         });
}

}  // namespace lab::engine::container
