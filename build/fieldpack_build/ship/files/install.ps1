# Installs Fieldpack and the first bundle from this folder, without a network:
#   powershell -ExecutionPolicy Bypass -File install.ps1 [-Fingerprint DIGITS] [-Python PROGRAM] [-Store DIR]
# Needs Python 3.11 or newer and nothing else. Run again, it updates both.
param([string]$Fingerprint = "", [string]$Python = "", [string]$Store = "$env:LOCALAPPDATA\fieldpack", [string]$Name = "")
$ErrorActionPreference = "Stop"
$wheels = Join-Path $PSScriptRoot "runtime\windows-x86_64"
if (-not (Test-Path "$wheels\requirements.txt")) { throw "${wheels}: not there; this folder was shipped without it" }
if (-not $Python) {
  foreach ($one in @("py", "python3", "python")) {
    if (Get-Command $one -ErrorAction SilentlyContinue) {
      & $one -c "import sys, venv; sys.exit(sys.version_info < (3, 11))"
      if ($LASTEXITCODE -eq 0) { $Python = $one; break }
    }
  }
  if (-not $Python) { throw "no Python 3.11 or newer here; install one from python.org, or name it with -Python" }
}
foreach ($line in Get-Content "$wheels\SHA256SUMS") {
  $digest, $file = $line -split "  ", 2
  $found = (Get-FileHash -Algorithm SHA256 (Join-Path $wheels $file)).Hash.ToLower()
  if ($found -ne $digest) { throw "${file}: damaged; copy the folder again" }
}
$sums = (Get-FileHash -Algorithm SHA256 "$wheels\runtime.json").Hash.ToLower().Substring(0, 8)
$tag = & $Python -I -c "import sys; print('py%d%d' % sys.version_info[:2])"
$version = (Get-Content "$wheels\VERSION").Trim() + "-$sums-$tag"
$environment = Join-Path $Store "env\$version"
if (-not (Test-Path "$environment\complete")) {
  if (Test-Path $environment) { Remove-Item -Recurse -Force $environment }
  & $Python -m venv --without-pip $environment
  if ($LASTEXITCODE -ne 0) { throw "$Python cannot make an environment" }
  $env:PYTHONPATH = (Get-ChildItem "$wheels\pip-*.whl").FullName
  & "$environment\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps `
    --no-index --find-links $wheels --require-hashes --only-binary ":all:" -r "$wheels\requirements.txt"
  if ($LASTEXITCODE -ne 0) { throw "installing failed; is there a wheel for this Python in ${wheels}?" }
  Remove-Item Env:PYTHONPATH
  & "$environment\Scripts\python.exe" -I -m fieldpack_app.install.environments
  if ($LASTEXITCODE -ne 0) { throw "the installed Fieldpack does not start; see above" }
}
& "$environment\Scripts\python.exe" -I -m fieldpack_app.install.runtime_update $Store
if ($LASTEXITCODE -ne 0) { throw "the store cannot be changed; see above" }
$env:FIELDPACK_STORE = $Store
[Environment]::SetEnvironmentVariable("FIELDPACK_STORE", $Store, "User")
$scripts = "$environment\Scripts"
$path = [Environment]::GetEnvironmentVariable("Path", "User")
$others = ($path -split ";" | Where-Object { $_ -and -not $_.StartsWith("$Store\env\") }) -join ";"
[Environment]::SetEnvironmentVariable("Path", "$scripts;$others", "User")
$arguments = @("install", $PSScriptRoot)
if ($Name) { $arguments += @("--name", $Name) }
if ($Fingerprint) { $arguments += @("--fingerprint", $Fingerprint) }
& "$scripts\fieldpack.exe" @arguments
exit $LASTEXITCODE
