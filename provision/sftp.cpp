#include "base/subprocess.hpp"
#include "provision/ssh_connection.hpp"

namespace lab::provision {

using std::chrono::milliseconds;

namespace {

std::string_view sftp_reason(unsigned long status) {
  switch (status) {
    case LIBSSH2_FX_NO_SUCH_FILE: return "no such file or folder";
    case LIBSSH2_FX_PERMISSION_DENIED: return "permission denied";
    case LIBSSH2_FX_NO_SPACE_ON_FILESYSTEM: return "no space left on the disk";
    default: return "failed";
  }
}

// In place of an error of libssh2's that only says that the server refused: why, and of what.
Error sftp_error(SshSession::Impl& session, const std::string& path, const Error& error) {
  if (libssh2_session_last_errno(session.session) != LIBSSH2_ERROR_SFTP_PROTOCOL) return error;
  const unsigned long status = libssh2_sftp_last_error(session.sftp);
  const Code code = status == LIBSSH2_FX_NO_SUCH_FILE        ? Code::not_found
                    : status == LIBSSH2_FX_PERMISSION_DENIED ? Code::forbidden
                                                             : Code::internal;
  return make_error(code, "{}:{}: {}", session.target.name, path, sftp_reason(status));
}

unsigned length(const std::string& path) { return static_cast<unsigned>(path.size()); }

LIBSSH2_SFTP_ATTRIBUTES sftp_attributes(const RemoteAttributes& wanted) {
  LIBSSH2_SFTP_ATTRIBUTES attributes{};
  attributes.flags = LIBSSH2_SFTP_ATTR_PERMISSIONS;
  attributes.permissions = wanted.mode;
  if (wanted.mtime) {
    attributes.flags |= LIBSSH2_SFTP_ATTR_ACMODTIME;
    attributes.atime = attributes.mtime = static_cast<unsigned long>(*wanted.mtime);
  }
  return attributes;
}

class SftpFile {
 public:
  static Result<SftpFile> open(SshSession::Impl& session, const std::string& path,
                               unsigned long flags, unsigned mode, TimePoint deadline) {
    LAB_TRY(LIBSSH2_SFTP * sftp, session.open_sftp(deadline));
    auto opened = session.obtain("opening " + path, deadline, [&] {
      return libssh2_sftp_open_ex(sftp, path.data(), length(path), flags, static_cast<long>(mode),
                                  LIBSSH2_SFTP_OPENFILE);
    });
    if (!opened) return sftp_error(session, path, opened.error());
    return SftpFile(session, path, *opened);
  }
  SftpFile(SftpFile&& other) noexcept
      : session_(other.session_),
        path_(std::move(other.path_)),
        handle_(std::exchange(other.handle_, nullptr)) {}
  SftpFile(const SftpFile&) = delete;
  SftpFile& operator=(const SftpFile&) = delete;
  ~SftpFile() {
    if (handle_ == nullptr) return;
    TimePoint deadline = deadline_after(milliseconds(1000));
    while (libssh2_sftp_close(handle_) == LIBSSH2_ERROR_EAGAIN && session_->wait(deadline)) {
    }
  }

  Result<void> write(std::string_view bytes, TimePoint deadline) {
    while (!bytes.empty()) {
      LAB_TRY(long put, complete("writing ", deadline, [&] {
                return libssh2_sftp_write(handle_, bytes.data(), bytes.size());
              }));
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
  }

  // 0 at the end of the file.
  Result<std::size_t> read(std::string& buffer, TimePoint deadline) {
    LAB_TRY(long got, complete("reading ", deadline, [&] {
              return libssh2_sftp_read(handle_, buffer.data(), buffer.size());
            }));
    return static_cast<std::size_t>(got);
  }

  // Once it was written.
  Result<void> finish(const RemoteAttributes& wanted, TimePoint deadline) {
    LIBSSH2_SFTP_ATTRIBUTES attributes = sftp_attributes(wanted);
    LAB_CHECK(complete("writing ", deadline,
                       [&] { return libssh2_sftp_fsetstat(handle_, &attributes); }));
    LIBSSH2_SFTP_HANDLE* handle = std::exchange(handle_, nullptr);
    LAB_CHECK(complete("writing ", deadline, [&] { return libssh2_sftp_close(handle); }));
    return {};
  }

 private:
  SftpFile(SshSession::Impl& session, std::string path, LIBSSH2_SFTP_HANDLE* handle)
      : session_(&session), path_(std::move(path)), handle_(handle) {}

  template <typename Call>
  Result<long> complete(const char* doing, TimePoint deadline, Call call) {
    auto done = session_->complete(doing + path_, deadline, std::move(call));
    if (!done) return sftp_error(*session_, path_, done.error());
    return done;
  }

  SshSession::Impl* session_;
  std::string path_;
  LIBSSH2_SFTP_HANDLE* handle_;
};

// An operation on a path that answers with a status.
template <typename Call>
Result<void> sftp_call(SshSession::Impl& session, const std::string& path, milliseconds timeout,
                       Call call) {
  TimePoint deadline = deadline_after(timeout);
  LAB_TRY(LIBSSH2_SFTP * sftp, session.open_sftp(deadline));
  auto done = session.complete(path, deadline, [&] { return call(sftp); });
  if (!done) return sftp_error(session, path, done.error());
  return {};
}

constexpr unsigned long for_writing = LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | LIBSSH2_FXF_TRUNC;

}  // namespace

Result<void> SshSession::put(std::string_view content, const std::string& remote_path, int mode,
                             milliseconds timeout) {
  TimePoint deadline = deadline_after(timeout);
  const RemoteAttributes attributes{static_cast<unsigned>(mode), std::nullopt};
  std::string beside = remote_path + ".lab-new";
  LAB_TRY(SftpFile file, SftpFile::open(*impl_, beside, for_writing, attributes.mode, deadline));
  LAB_CHECK(file.write(content, deadline));
  LAB_CHECK(file.finish(attributes, deadline));
  // OpenSSH's plain rename refuses to replace; its extension does not, and libssh2 cannot send it.
  SshCommand rename{"mv -fT -- " + shell_quote({beside, remote_path})};
  rename.timeout = timeout;
  LAB_CHECK(exec_checked(rename));
  return {};
}

Result<std::string> SshSession::get(const std::string& remote_path, milliseconds timeout,
                                    std::size_t bytes_max) {
  TimePoint deadline = deadline_after(timeout);
  LAB_TRY(SftpFile file, SftpFile::open(*impl_, remote_path, LIBSSH2_FXF_READ, 0, deadline));
  std::string content;
  std::string buffer(1 << 18, '\0');
  for (;;) {
    LAB_TRY(std::size_t got, file.read(buffer, deadline));
    if (got == 0) return content;
    content.append(buffer, 0, got);
    if (content.size() > bytes_max) {
      return make_error(Code::invalid_argument, "{}:{} is larger than {} bytes", impl_->target.name,
                        remote_path, bytes_max);
    }
  }
}

Result<void> SshSession::write_remote(const std::string& path, const RemoteAttributes& attributes,
                                      const NextPiece& next, milliseconds timeout) {
  // Nobody but its owner sees it before it is whole.
  LAB_TRY(SftpFile file, SftpFile::open(*impl_, path, for_writing, 0600, deadline_after(timeout)));
  for (;;) {
    LAB_TRY(std::string_view piece, next());
    if (piece.empty()) return file.finish(attributes, deadline_after(timeout));
    LAB_CHECK(file.write(piece, deadline_after(timeout)));
  }
}

Result<void> SshSession::make_remote_folder(const std::string& path, unsigned mode,
                                            milliseconds timeout) {
  return sftp_call(*impl_, path, timeout, [&](LIBSSH2_SFTP* sftp) {
    return libssh2_sftp_mkdir_ex(sftp, path.data(), length(path), static_cast<long>(mode));
  });
}

Result<void> SshSession::set_remote_attributes(const std::string& path,
                                               const RemoteAttributes& attributes,
                                               milliseconds timeout) {
  return sftp_call(*impl_, path, timeout, [&](LIBSSH2_SFTP* sftp) {
    LIBSSH2_SFTP_ATTRIBUTES wanted = sftp_attributes(attributes);
    return libssh2_sftp_stat_ex(sftp, path.data(), length(path), LIBSSH2_SFTP_SETSTAT, &wanted);
  });
}

}  // namespace lab::provision
