#include "vm/image.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/blocking.hpp"
#include "vm/image_build.hpp"

namespace lab::vm {
namespace {

// Tells what the builder's log says, while somebody waits; ends only by being cancelled.
boost::asio::awaitable<void> follow_log(std::filesystem::path log, std::string name,
                                        ImageProgress progress) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  std::string said;
  for (;;) {
    timer.expires_after(std::chrono::milliseconds(500));
    co_await timer.async_wait(boost::asio::use_awaitable);
    const std::string line = last_build_step(log);
    if (line.empty() || line == said) continue;
    said = line;
    progress(name + ": " + line);
  }
}

}  // namespace

boost::asio::awaitable<Result<GuestImage>> ensure_image(ImageRequest request,
                                                        std::filesystem::path cache_root,
                                                        ImageProgress progress) {
  using namespace boost::asio::experimental::awaitable_operators;
  if (request.recipe.empty() == request.cloud_image.empty())
    co_return make_error(Code::invalid_argument,
                         "an image is either a recipe or a cloud image, exactly one of them");
  const auto executor = co_await boost::asio::this_coro::executor;
  ImageProgress on_executor = [executor, progress](std::string line) {
    if (progress)
      boost::asio::post(executor, [progress, line = std::move(line)] { progress(line); });
  };
  if (!request.cloud_image.empty()) {
    std::function<Result<GuestImage>()> fetch = [request, cache_root, on_executor] {
      return fetch_cloud_image(request, cache_root, on_executor);
    };
    co_return co_await run_blocking(std::move(fetch));
  }
  Result<Recipe> recipe = find_recipe(request.recipe);
  if (!recipe) co_return recipe.error();
  if (auto image = cached_recipe_image(*recipe, cache_root)) co_return *image;
  std::function<Result<GuestImage>()> build = [recipe, cache_root, on_executor] {
    return build_recipe_image(*recipe, cache_root, on_executor);
  };
  auto built = run_blocking(std::move(build));
  auto followed = follow_log(build_log_path(*recipe, cache_root), recipe->name, on_executor);
  auto first = co_await (std::move(built) || std::move(followed));
  co_return std::move(std::get<0>(first));
}

bool image_is_cached(const ImageRequest& request, const std::filesystem::path& cache_root) {
  if (request.recipe.empty()) return cached_cloud_image(request, cache_root).has_value();
  const Result<Recipe> recipe = find_recipe(request.recipe);
  return recipe && cached_recipe_image(*recipe, cache_root).has_value();
}

}  // namespace lab::vm
