# As much of NixOS as the flake's module uses: its options' defaults are filled in, types are
# not checked. Gives the systemd services and files in /etc of a few profiles.
module:
let
  lib = {
    mkOption = option: option;
    mkIf = condition: value: if condition then value else { };
    optional = condition: value: if condition then [ value ] else [ ];
    optionalString = condition: text: if condition then text else "";
    optionalAttrs = condition: set: if condition then set else { };
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
    filterAttrs =
      keep: set:
      builtins.listToAttrs (
        builtins.concatMap (
          name: if keep name set.${name} then [ { inherit name; value = set.${name}; } ] else [ ]
        ) (builtins.attrNames set)
      );
    getExe = package: "${package.name}/bin/monprov";
    types = {
      submodule = body: body;
      attrsOf = body: body;
      nullOr = inner: inner;
      listOf = inner: inner;
      enum = choices: choices;
      path = "path";
      str = "str";
      package = "package";
    };
  };
  pkgs = {
    stdenv.hostPlatform.system = "x86_64-linux";
    docker = "docker";
  };
  config.services.monprov = {
    package.name = "monprov";
    stateDir = options.stateDir.default;
    trust = defaults options.trust // {
      keys = [ "fleet-1:cHVibGlj" ];
    };
    profiles = builtins.mapAttrs (_: filled) {
      prod = {
        project = "/etc/monitoring";
        environmentFile = "/run/keys/prod.env";
      };
      small = {
        project = "/srv/small";
        runtime = "process";
        user = "monitoring";
        packages = [ "prometheus" ];
      };
      site = {
        follow = {
          url = "https://cache.example.org";
          textfile = "/var/lib/node/site.prom";
        };
      };
      edge = {
        runtime = "process";
        follow.url = "https://cache.example.org";
      };
    };
  };
  options = (module { inherit config lib pkgs; }).options.services.monprov;
  defaults = builtins.mapAttrs (_: option: option.default or null);
  filled =
    profile:
    let
      all = defaults options.profiles.type.options // profile;
      follows = options.profiles.type.options.follow.type.options;
    in
    all // { follow = if all.follow == null then null else defaults follows // all.follow; };
  made = (module { inherit config lib pkgs; }).config;
in
{
  inherit (made.systemd) services;
  inherit (made.environment) etc;
}
