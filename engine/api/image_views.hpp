// The documents in which the API shows images.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "engine/api/filters.hpp"
#include "engine/image/image_store.hpp"

namespace lab::engine::api {

// GET /images/json.
[[nodiscard]] Result<boost::json::array> list_images(const image::ImageStore& store,
                                                     const FilterSet& filters, bool all);
// GET /images/NAME/json.
[[nodiscard]] Result<boost::json::object> inspect_image(const image::ImageStore& store,
                                                        const image::Image& image);
// GET /images/NAME/history.
[[nodiscard]] boost::json::array image_history(const image::ImageStore& store,
                                               const image::Image& image);

// config["config"]["Labels"].
[[nodiscard]] std::map<std::string, std::string> labels_of(const image::Image& image);
// Seconds since 1970 of an RFC 3339 time; Go's zero time for what does not parse.
[[nodiscard]] std::int64_t unix_seconds(std::string_view rfc3339);

}  // namespace lab::engine::api
