// Blocking work (child processes, libvirt, libssh2, large files) away from the event loop: it runs
// on a shared pool of threads and the coroutine resumes on its own executor.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <utility>

namespace lab {

// Runs `work` on the pool and resumes the caller on its executor. `work` must not throw.
[[nodiscard]] boost::asio::awaitable<void> run_on_pool(std::function<void()> work);

template <typename T>
[[nodiscard]] boost::asio::awaitable<T> run_blocking(std::function<T()> work) {
  std::optional<T> result;
  std::function<void()> task = [&result, &work] { result.emplace(work()); };
  co_await run_on_pool(std::move(task));
  co_return std::move(*result);
}

}  // namespace lab
