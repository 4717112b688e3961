variable "default_project_id" {
  description = "Id of the project that containers get as GOOGLE_CLOUD_PROJECT."
  type        = string
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider."
  type        = bool
  default     = true
}

variable "jwks" {
  description = "Public keys, as `refresher keys jwks` prints them."
  type        = string
}

variable "keys_directory" {
  description = "The keys directory on the refresher's host."
  type        = string
  default     = "/var/lib/refresher/keys"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}
