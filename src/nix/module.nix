# services.monprov.profiles.prod = { project = ./monitoring; };
#
# or, for a host that takes what was built elsewhere:
#
# services.monprov = {
#   trust.keys = [ "fleet-1:…" ];
#   profiles.prod.follow.url = "https://cache.example.org";
# };
self:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.monprov;
  follow = lib.types.submodule {
    options = {
      url = lib.mkOption {
        type = lib.types.str;
        description = "The cache whose channel of this profile is followed.";
      };
      every = lib.mkOption {
        type = lib.types.str;
        default = "60s";
        description = "How often it is asked.";
      };
      textfile = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        description = "Where metrics are written for the node exporter's textfile collector.";
      };
    };
  };
  profile = lib.types.submodule {
    options = {
      project = lib.mkOption {
        type = lib.types.nullOr lib.types.path;
        default = null;
        description = "The folder with `profiles/` in it; a host that follows needs none.";
      };
      follow = lib.mkOption {
        type = lib.types.nullOr follow;
        default = null;
        description = "Take what a signed channel points to.";
      };
      runtime = lib.mkOption {
        type = lib.types.enum [
          "process"
          "compose"
          "swarm"
          "kubernetes"
        ];
        default = "compose";
        description = "The profile's `stack.runtime`.";
      };
      environmentFile = lib.mkOption {
        type = lib.types.nullOr lib.types.path;
        default = null;
        description = "Variables and secrets, outside the Nix store.";
      };
      user = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        description = "Who runs the programs of the process runtime; by default root.";
      };
      packages = lib.mkOption {
        type = lib.types.listOf lib.types.package;
        default = [ ];
        description = "The programs of the process runtime, and those that secrets come from.";
      };
    };
  };
  monprov =
    profile: verb: name:
    let
      project = lib.optionalString (profile.project != null) " -C ${profile.project}";
      file = lib.optionalString (profile.environmentFile != null) " --env-file ${profile.environmentFile}";
    in
    "${lib.getExe cfg.package}${project} --state-dir ${cfg.stateDir} ${verb} ${name}${file}";
  base =
    name: profile:
    let
      docker = profile.runtime == "compose" || profile.runtime == "swarm";
      kubernetes = profile.runtime == "kubernetes";
    in
    {
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ] ++ lib.optional docker "docker.service";
      requires = lib.optional docker "docker.service";
      path =
        profile.packages ++ lib.optional docker pkgs.docker ++ lib.optional kubernetes pkgs.kubectl;
    };
  service =
    profile: more:
    {
      RuntimeDirectory = "monprov";
      RuntimeDirectoryMode = "0711";
      RuntimeDirectoryPreserve = true;
    }
    // lib.optionalAttrs (profile.user != null) { User = profile.user; }
    // more;
  runs = {
    Type = "exec";
    Restart = "on-failure";
    TimeoutStopSec = 90;
  };
  # What brings the current generation up at boot. A host that follows needs it for the process
  # runtime only, whose programs end with it; until the first bundle is there, it tries again.
  unit =
    name: profile:
    let
      process = profile.runtime == "process";
    in
    lib.nameValuePair "monprov-${name}" (
      base name profile
      // {
        description = "Monitoring stack ${name} (monprov)";
        serviceConfig = service profile (
          {
            ExecStart = monprov profile (if process then "up --no-build" else "activate") name;
          }
          // (
            if process then
              runs // lib.optionalAttrs (profile.follow != null) { RestartSec = 10; }
            else
              {
                Type = "oneshot";
                RemainAfterExit = true;
                TimeoutStartSec = "10min";
              }
          )
        );
      }
      // lib.optionalAttrs (process && profile.follow != null) { startLimitIntervalSec = 0; }
    );
  follower =
    name: profile:
    let
      textfile = lib.optionalString (
        profile.follow.textfile != null
      ) " --textfile ${profile.follow.textfile}";
      verb = "follow --every ${profile.follow.every}${textfile} ${profile.follow.url}";
    in
    lib.nameValuePair "monprov-follow-${name}" (
      base name profile
      // {
        description = "Monitoring stack ${name} follows ${profile.follow.url} (monprov)";
        startLimitIntervalSec = 0;
        serviceConfig = service profile (runs // { ExecStart = monprov profile verb name; RestartSec = 10; });
      }
    );
  follows = profile: profile.follow != null;
  boots = profile: profile.runtime == "process" || !(follows profile);
  select = wanted: lib.filterAttrs (_: wanted) cfg.profiles;
in
{
  options.services.monprov = {
    package = lib.mkOption {
      type = lib.types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      description = "The package that provides `monprov`.";
    };
    stateDir = lib.mkOption {
      type = lib.types.str;
      default = "/var/lib/monprov";
      description = "Where bundles and generations are kept.";
    };
    trust = {
      keys = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        description = "Public keys, `NAME:base64`, one of which must have signed what is taken.";
      };
      revoked = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        description = "Names of keys that count no longer.";
      };
    };
    profiles = lib.mkOption {
      type = lib.types.attrsOf profile;
      default = { };
      description = "Profiles whose current generation is brought up at boot.";
    };
  };
  config = lib.mkIf (cfg.profiles != { }) {
    environment.systemPackages = [ cfg.package ];
    # Lists of strings are the same in JSON and TOML.
    environment.etc = lib.optionalAttrs (cfg.trust.keys != [ ]) {
      "monprov/trust.toml".text = ''
        required = true
        keys = ${builtins.toJSON cfg.trust.keys}
        revoked = ${builtins.toJSON cfg.trust.revoked}
      '';
    };
    systemd.services =
      lib.mapAttrs' unit (select boots) // lib.mapAttrs' follower (select follows);
  };
}
