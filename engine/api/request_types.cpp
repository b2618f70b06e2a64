#include "engine/api/request_types.hpp"

namespace lab::engine::api {

// Fields of embedded structs stand in the struct that embeds them.
std::string_view request_types() {
  return R"(
time.Duration int64
os.FileMode uint32
nat.PortSet map[nat.Port]struct {}
nat.PortMap map[nat.Port][]nat.PortBinding
nat.PortBinding struct {
  HostIp string
  HostPort string
}
runconfig.ContainerConfigWrapper struct {
  Hostname string
  Domainname string
  User string
  AttachStdin bool
  AttachStdout bool
  AttachStderr bool
  ExposedPorts nat.PortSet
  Tty bool
  OpenStdin bool
  StdinOnce bool
  Env []string
  Cmd strslice.StrSlice
  Healthcheck *container.HealthConfig
  ArgsEscaped bool
  Image string
  Volumes map[string]struct {}
  WorkingDir string
  Entrypoint strslice.StrSlice
  NetworkDisabled bool
  MacAddress string
  OnBuild []string
  Labels map[string]string
  StopSignal string
  StopTimeout *int
  Shell strslice.StrSlice
  HostConfig *container.HostConfig
  NetworkingConfig *network.NetworkingConfig
}
container.HealthConfig struct {
  Test []string
  Interval time.Duration
  Timeout time.Duration
  StartPeriod time.Duration
  Retries int
}
container.NetworkMode string
container.CgroupnsMode string
container.IpcMode string
container.CgroupSpec string
container.PidMode string
container.UTSMode string
container.UsernsMode string
container.Isolation string
container.HostConfig struct {
  Binds []string
  ContainerIDFile string
  LogConfig container.LogConfig
  NetworkMode container.NetworkMode
  PortBindings nat.PortMap
  RestartPolicy container.RestartPolicy
  AutoRemove bool
  VolumeDriver string
  VolumesFrom []string
  CapAdd strslice.StrSlice
  CapDrop strslice.StrSlice
  CgroupnsMode container.CgroupnsMode
  Dns []string
  DnsOptions []string
  DnsSearch []string
  ExtraHosts []string
  GroupAdd []string
  IpcMode container.IpcMode
  Cgroup container.CgroupSpec
  Links []string
  OomScoreAdj int
  PidMode container.PidMode
  Privileged bool
  PublishAllPorts bool
  ReadonlyRootfs bool
  SecurityOpt []string
  StorageOpt map[string]string
  Tmpfs map[string]string
  UTSMode container.UTSMode
  UsernsMode container.UsernsMode
  ShmSize int64
  Sysctls map[string]string
  Runtime string
  ConsoleSize [2]uint
  Isolation container.Isolation
  CpuShares int64
  Memory int64
  NanoCpus int64
  CgroupParent string
  BlkioWeight uint16
  BlkioWeightDevice []*blkiodev.WeightDevice
  BlkioDeviceReadBps []*blkiodev.ThrottleDevice
  BlkioDeviceWriteBps []*blkiodev.ThrottleDevice
  BlkioDeviceReadIOps []*blkiodev.ThrottleDevice
  BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice
  CpuPeriod int64
  CpuQuota int64
  CpuRealtimePeriod int64
  CpuRealtimeRuntime int64
  CpusetCpus string
  CpusetMems string
  Devices []container.DeviceMapping
  DeviceCgroupRules []string
  DeviceRequests []container.DeviceRequest
  KernelMemory int64
  KernelMemoryTCP int64
  MemoryReservation int64
  MemorySwap int64
  MemorySwappiness *int64
  OomKillDisable *bool
  PidsLimit *int64
  Ulimits []*units.Ulimit
  CpuCount int64
  CpuPercent int64
  IOMaximumIOps uint64
  IOMaximumBandwidth uint64
  Mounts []mount.Mount
  MaskedPaths []string
  ReadonlyPaths []string
  Init *bool
}
container.LogConfig struct {
  Type string
  Config map[string]string
}
container.RestartPolicy struct {
  Name string
  MaximumRetryCount int
}
blkiodev.WeightDevice struct {
  Path string
  Weight uint16
}
blkiodev.ThrottleDevice struct {
  Path string
  Rate uint64
}
container.DeviceMapping struct {
  PathOnHost string
  PathInContainer string
  CgroupPermissions string
}
container.DeviceRequest struct {
  Driver string
  Count int
  DeviceIDs []string
  Capabilities [][]string
  Options map[string]string
}
units.Ulimit struct {
  Name string
  Hard int64
  Soft int64
}
mount.Type string
mount.Consistency string
mount.Propagation string
mount.Mount struct {
  Type mount.Type
  Source string
  Target string
  ReadOnly bool
  Consistency mount.Consistency
  BindOptions *mount.BindOptions
  VolumeOptions *mount.VolumeOptions
  TmpfsOptions *mount.TmpfsOptions
}
mount.BindOptions struct {
  Propagation mount.Propagation
  NonRecursive bool
}
mount.VolumeOptions struct {
  NoCopy bool
  Labels map[string]string
  DriverConfig *mount.Driver
}
mount.Driver struct {
  Name string
  Options map[string]string
}
mount.TmpfsOptions struct {
  SizeBytes int64
  Mode os.FileMode
}
container.UpdateConfig struct {
  CpuShares int64
  Memory int64
  NanoCpus int64
  BlkioWeight uint16
  CpuPeriod int64
  CpuQuota int64
  CpuRealtimePeriod int64
  CpuRealtimeRuntime int64
  CpusetCpus string
  CpusetMems string
  KernelMemory int64
  MemoryReservation int64
  MemorySwap int64
  PidsLimit *int64
  RestartPolicy container.RestartPolicy
}
types.ExecConfig struct {
  User string
  Privileged bool
  Tty bool
  AttachStdin bool
  AttachStderr bool
  AttachStdout bool
  Detach bool
  DetachKeys string
  Env []string
  WorkingDir string
  Cmd []string
}
types.ExecStartCheck struct {
  Detach bool
  Tty bool
}
network.NetworkingConfig struct {
  EndpointsConfig map[string]*network.EndpointSettings
}
network.EndpointSettings struct {
  IPAMConfig *network.EndpointIPAMConfig
  Links []string
  Aliases []string
  NetworkID string
  EndpointID string
  Gateway string
  IPAddress string
  IPPrefixLen int
  IPv6Gateway string
  GlobalIPv6Address string
  GlobalIPv6PrefixLen int
  MacAddress string
  DriverOpts map[string]string
}
network.EndpointIPAMConfig struct {
  IPv4Address string
  IPv6Address string
  LinkLocalIPs []string
}
types.NetworkCreateRequest struct {
  CheckDuplicate bool
  Driver string
  Scope string
  EnableIPv6 bool
  IPAM *network.IPAM
  Internal bool
  Attachable bool
  Ingress bool
  ConfigOnly bool
  ConfigFrom *network.ConfigReference
  Options map[string]string
  Labels map[string]string
  Name string
}
network.IPAM struct {
  Driver string
  Options map[string]string
  Config []network.IPAMConfig
}
network.IPAMConfig struct {
  Subnet string
  IPRange string
  Gateway string
  AuxiliaryAddresses map[string]string
}
network.ConfigReference struct {
  Network string
}
types.NetworkConnect struct {
  Container string
  EndpointConfig *network.EndpointSettings
}
types.NetworkDisconnect struct {
  Container string
  Force bool
}
volume.VolumeCreateBody struct {
  Driver string
  DriverOpts map[string]string
  Labels map[string]string
  Name string
}
types.AuthConfig struct {
  username string
  password string
  auth string
  email string
  serveraddress string
  identitytoken string
  registrytoken string
}
)";
}

}  // namespace lab::engine::api
